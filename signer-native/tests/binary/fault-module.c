/* A PKCS#11 module that is another one with faults: FAULT_MODULE_REAL names the real library, FAULT_MODULE_FILE a file
 * that holds the name of the fault to show at the next signature. All but hang and flip happen once: the file is removed
 * before. FAULT_MODULE_RESERVED becomes pReserved of C_Initialize, which is how NSS takes its parameters.
 * The tests compile it, so that what the pool does about faults is seen on a real token. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long word;
typedef word (*call)();
/* CK_FUNCTION_LIST of PKCS#11 2.40: a version, and 68 functions in fixed order. */
struct functions { unsigned char version[2]; call call[68]; };
enum { INITIALIZE = 0, CLOSE_ALL_SESSIONS = 14, LOGOUT = 19, SIGN_INIT = 42, SIGN = 43 };
enum { GENERAL_ERROR = 0x5, FUNCTION_FAILED = 0x6, DEVICE_ERROR = 0x30, OBJECT_HANDLE_INVALID = 0x82, SESSION_HANDLE_INVALID = 0xB3 };

static struct functions real, ours;

static void fault(char *name, int size) {
    name[0] = 0;
    const char *path = getenv("FAULT_MODULE_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return;
    if (!fgets(name, size, file)) name[0] = 0;
    fclose(file);
    if (strcmp(name, "hang") && strcmp(name, "flip")) unlink(path);
}

/* CK_C_INITIALIZE_ARGS, and the member that NSS puts behind it. */
struct arguments { void *mutexes[4]; word flags; void *reserved; void *more; };

static word initialize(struct arguments *given) {
    struct arguments arguments = { { 0 }, given ? given->flags : 0, getenv("FAULT_MODULE_RESERVED"), NULL };
    return real.call[INITIALIZE](arguments.reserved ? &arguments : given);
}

static word sign_init(word session, void *mechanism, word key) {
    char name[32];
    fault(name, sizeof name);
    if (!strcmp(name, "general")) return GENERAL_ERROR;
    if (!strcmp(name, "failed")) return FUNCTION_FAILED;
    if (!strcmp(name, "device")) return DEVICE_ERROR;
    if (!strcmp(name, "object")) return OBJECT_HANDLE_INVALID;
    if (!strcmp(name, "session")) return SESSION_HANDLE_INVALID;
    if (!strcmp(name, "logout")) real.call[LOGOUT](session);
    /* The slot is that of the only token; SoftHSM closes all sessions of the process on it. */
    if (!strcmp(name, "close")) real.call[CLOSE_ALL_SESSIONS](strtoul(getenv("FAULT_MODULE_SLOT"), NULL, 10));
    while (!strcmp(name, "hang")) { usleep(10000); fault(name, sizeof name); }
    return real.call[SIGN_INIT](session, mechanism, key);
}

static word sign(word session, void *data, word length, unsigned char *signature, word *signature_length) {
    word answer = real.call[SIGN](session, data, length, signature, signature_length);
    char name[32];
    fault(name, sizeof name);
    if (!strcmp(name, "flip") && signature && !answer) signature[*signature_length - 1] ^= 1;
    return answer;
}

word C_GetFunctionList(struct functions **list) {
    void *library = dlopen(getenv("FAULT_MODULE_REAL"), RTLD_NOW);
    if (!library) return GENERAL_ERROR;
    call get = (call)dlsym(library, "C_GetFunctionList");
    struct functions *theirs;
    word answer = get ? get(&theirs) : GENERAL_ERROR;
    if (answer) return answer;
    real = ours = *theirs;
    ours.call[INITIALIZE] = (call)initialize;
    ours.call[SIGN_INIT] = (call)sign_init;
    ours.call[SIGN] = (call)sign;
    *list = &ours;
    return 0;
}
