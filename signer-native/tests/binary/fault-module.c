/* A PKCS#11 module that is another one with faults: FAULT_MODULE_REAL names the real library, FAULT_MODULE_FILE a file
 * that holds the name of the fault to show at the next signature. Most happen once: the file is removed before. hang, flip,
 * throttle and removed last as long as the file is there; hang-once holds one call until the file comes again and says
 * release. Every C_Login leaves a line with its answer in the file that FAULT_MODULE_LOGINS names. FAULT_MODULE_RESERVED becomes pReserved of C_Initialize, which is how NSS takes its parameters.
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
enum {
    INITIALIZE = 0, TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_ALL_SESSIONS = 14, SESSION_INFO = 15, LOGIN = 18, LOGOUT = 19,
    FIND_OBJECTS_INIT = 26, SIGN_INIT = 42, SIGN = 43
};
enum { GENERAL_ERROR = 0x5, FUNCTION_FAILED = 0x6, DEVICE_ERROR = 0x30, TOKEN_NOT_PRESENT = 0xE0, OBJECT_HANDLE_INVALID = 0x82, SESSION_HANDLE_INVALID = 0xB3 };

static struct functions real, ours;

/* The fault on show, left as it is. */
static const char *peek(char *name, int size) {
    name[0] = 0;
    const char *path = getenv("FAULT_MODULE_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return NULL;
    if (!fgets(name, size, file)) name[0] = 0;
    fclose(file);
    return path;
}

static void fault(char *name, int size) {
    const char *path = peek(name, size);
    static const char *last[] = { "hang", "flip", "throttle", "removed", "release" };
    for (int i = 0; i < sizeof last / sizeof *last; i++) if (!strcmp(name, last[i])) return;
    if (path) unlink(path);
}

static int removed(void) {
    char name[32];
    peek(name, sizeof name);
    return !strcmp(name, "removed");
}

static word token_info(word slot, void *info) {
    return removed() ? TOKEN_NOT_PRESENT : real.call[TOKEN_INFO](slot, info);
}

static word open_session(word slot, word flags, void *data, void *notify, word *session) {
    return removed() ? TOKEN_NOT_PRESENT : real.call[OPEN_SESSION](slot, flags, data, notify, session);
}

static word session_info(word session, void *info) {
    return removed() ? TOKEN_NOT_PRESENT : real.call[SESSION_INFO](session, info);
}

static word find_objects_init(word session, void *template, word count) {
    return removed() ? TOKEN_NOT_PRESENT : real.call[FIND_OBJECTS_INIT](session, template, count);
}

static word login(word session, word user, void *pin, word length) {
    word answer = real.call[LOGIN](session, user, pin, length);
    const char *path = getenv("FAULT_MODULE_LOGINS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) fprintf(file, "%lx\n", answer), fclose(file);
    return answer;
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
    if (!strcmp(name, "removed")) return TOKEN_NOT_PRESENT;
    if (!strcmp(name, "failed") || !strcmp(name, "throttle")) return FUNCTION_FAILED;
    if (!strcmp(name, "device")) return DEVICE_ERROR;
    if (!strcmp(name, "object")) return OBJECT_HANDLE_INVALID;
    if (!strcmp(name, "session")) return SESSION_HANDLE_INVALID;
    if (!strcmp(name, "logout")) real.call[LOGOUT](session);
    /* The slot is that of the only token; SoftHSM closes all sessions of the process on it. */
    if (!strcmp(name, "close")) real.call[CLOSE_ALL_SESSIONS](strtoul(getenv("FAULT_MODULE_SLOT"), NULL, 10));
    if (!strcmp(name, "hang-once")) while (strcmp(name, "release")) { usleep(10000); peek(name, sizeof name); }
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
    ours.call[TOKEN_INFO] = (call)token_info;
    ours.call[OPEN_SESSION] = (call)open_session;
    ours.call[SESSION_INFO] = (call)session_info;
    ours.call[LOGIN] = (call)login;
    ours.call[FIND_OBJECTS_INIT] = (call)find_objects_init;
    ours.call[SIGN_INIT] = (call)sign_init;
    ours.call[SIGN] = (call)sign;
    *list = &ours;
    return 0;
}
