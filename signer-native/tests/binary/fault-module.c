/* A PKCS#11 module that is another one with faults: FAULT_MODULE_REAL names the real library, FAULT_MODULE_FILE a file
 * that holds the name of the fault to show at the next signature. Most happen once: the file is removed before. hang, flip,
 * throttle, removed and slow-search last as long as the file is there, not-logged-in until the next C_Login and sessions until the
 * next C_Initialize, though C_GetSessionInfo shows neither; with stale, a process that called C_Initialize before the file was there
 * finds nothing by CKA_ID from then on; hang-once holds one call until the file comes again and says
 * release. hang and hang-once hold C_SignInit, hang-sign holds C_Sign itself, hang-generate
 * C_GenerateKeyPair, which answers full and may-not-generate by itself, as long as the file is there. logout-rw ends the login when a session is opened that
 * may write. Every C_Login leaves a line with its answer in
 * the file that FAULT_MODULE_LOGINS names. FAULT_MODULE_RESERVED becomes pReserved of C_Initialize, which is how NSS takes
 * its parameters.
 *
 * Preloaded as well (LD_PRELOAD), it shows two faults of the machine. FAULT_MODULE_CLOCK names a file of seconds that are
 * added to the time of day. FAULT_MODULE_CRASH is the number of the step before which the process ends by SIGKILL; steps are
 * the two sides of every call that makes, destroys or uses a key, and every commit to SQLite's write-ahead log. Each step
 * leaves its name as a line in the file that FAULT_MODULE_STEPS names.
 *
 * The tests compile it, so that what the pool does about faults is seen on a real token. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long word;
typedef word (*call)();
/* CK_FUNCTION_LIST of PKCS#11 2.40: a version, and 68 functions in fixed order. */
struct functions { unsigned char version[2]; call call[68]; };
enum {
    INITIALIZE = 0, TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_ALL_SESSIONS = 14, SESSION_INFO = 15, LOGIN = 18, LOGOUT = 19,
    DESTROY_OBJECT = 22, FIND_OBJECTS_INIT = 26, SIGN_INIT = 42, SIGN = 43, GENERATE_KEY_PAIR = 59
};
enum { GENERAL_ERROR = 0x5, FUNCTION_FAILED = 0x6, DEVICE_ERROR = 0x30, DEVICE_MEMORY = 0x31, TOKEN_NOT_PRESENT = 0xE0, OBJECT_HANDLE_INVALID = 0x82, SESSION_HANDLE_INVALID = 0xB3, USER_NOT_LOGGED_IN = 0x101 };

enum { CKA_ID = 0x102 };

static struct functions real, ours;

/* One more step of this process; the one that FAULT_MODULE_CRASH names is not taken any more. */
static void step(const char *name) {
    static int count;
    const char *last = getenv("FAULT_MODULE_CRASH"), *path = getenv("FAULT_MODULE_STEPS");
    int number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (file >= 0) {
        char line[64];
        int length = snprintf(line, sizeof line, "%s\n", name);
        if (write(file, line, length) < 0) abort();
        close(file);
    }
    if (last && atoi(last) == number) kill(getpid(), SIGKILL);
}

/* SQLite writes the header of each frame by itself, and that of a commit says how large the database is afterwards. */
ssize_t pwrite64(int file, const void *data, size_t length, off64_t place) {
    static ssize_t (*next)(int, const void *, size_t, off64_t);
    if (!next) next = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    const unsigned char *header = data;
    if (length == 24 && (header[4] || header[5] || header[6] || header[7])) {
        char link[32], path[512];
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t found = readlink(link, path, sizeof path);
        if (found > 4 && !memcmp(path + found - 4, "-wal", 4)) step("commit");
    }
    return next(file, data, length, place);
}

/* The time of day, as a clock shows it that somebody has set. */
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int answer = next(clock, time);
    const char *path = clock == CLOCK_REALTIME ? getenv("FAULT_MODULE_CLOCK") : NULL;
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        char text[32];
        ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        if (length > 0) text[length] = 0, time->tv_sec += atol(text);
    }
    return answer;
}

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
    static const char *last[] = { "hang", "flip", "throttle", "removed", "release", "hang-sign", "hang-generate", "slow-search", "not-logged-in", "sessions", "stale", "full", "may-not-generate" };
    for (int i = 0; i < sizeof last / sizeof *last; i++) if (!strcmp(name, last[i])) return;
    if (path) unlink(path);
}

/* Ends a fault that lasts until something is called. */
static void ends(const char *fault) {
    char name[32];
    const char *path = peek(name, sizeof name);
    if (!strcmp(name, fault)) unlink(path);
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
    char name[32];
    if (removed()) return TOKEN_NOT_PRESENT;
    word answer = real.call[OPEN_SESSION](slot, flags, data, notify, session);
    /* CKF_RW_SESSION: somebody logs out between the opening and what it was opened for. */
    if (!answer && flags & 2 && (peek(name, sizeof name), !strcmp(name, "logout-rw"))) {
        fault(name, sizeof name);
        real.call[LOGOUT](*session);
    }
    return answer;
}

static word session_info(word session, void *info) {
    return removed() ? TOKEN_NOT_PRESENT : real.call[SESSION_INFO](session, info);
}

struct attribute { word type; void *value; word length; };

static struct timespec initialized;

/* Whether the fault was shown after C_Initialize. */
static int is_newer(const char *path) {
    struct stat shown;
    if (!path || stat(path, &shown)) return 0;
    return shown.st_mtim.tv_sec > initialized.tv_sec || (shown.st_mtim.tv_sec == initialized.tv_sec && shown.st_mtim.tv_nsec > initialized.tv_nsec);
}

static word find_objects_init(word session, struct attribute *template, word count) {
    char name[32];
    const char *path = peek(name, sizeof name);
    if (!strcmp(name, "slow-search")) usleep(600000);
    static unsigned char nobody[] = "no CKA_ID is so long as this one";
    struct attribute nothing = { CKA_ID, nobody, sizeof nobody };
    for (word i = 0; i < count; i++)
        if (template[i].type == CKA_ID && !strcmp(name, "stale") && is_newer(path)) return real.call[FIND_OBJECTS_INIT](session, &nothing, 1UL);
    return removed() ? TOKEN_NOT_PRESENT : real.call[FIND_OBJECTS_INIT](session, template, count);
}

static word login(word session, word user, void *pin, word length) {
    word answer = real.call[LOGIN](session, user, pin, length);
    ends("not-logged-in");
    const char *path = getenv("FAULT_MODULE_LOGINS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) fprintf(file, "%lx\n", answer), fclose(file);
    return answer;
}

/* CK_C_INITIALIZE_ARGS, and the member that NSS puts behind it. */
struct arguments { void *mutexes[4]; word flags; void *reserved; void *more; };

static word initialize(struct arguments *given) {
    struct arguments arguments = { { 0 }, given ? given->flags : 0, getenv("FAULT_MODULE_RESERVED"), NULL };
    ends("sessions");
    clock_gettime(CLOCK_REALTIME, &initialized);
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
    if (!strcmp(name, "session") || !strcmp(name, "sessions")) return SESSION_HANDLE_INVALID;
    if (!strcmp(name, "not-logged-in")) return USER_NOT_LOGGED_IN;
    if (!strcmp(name, "logout")) real.call[LOGOUT](session);
    /* The slot is that of the only token; SoftHSM closes all sessions of the process on it. */
    if (!strcmp(name, "close")) real.call[CLOSE_ALL_SESSIONS](strtoul(getenv("FAULT_MODULE_SLOT"), NULL, 10));
    if (!strcmp(name, "hang-once")) while (strcmp(name, "release")) { usleep(10000); peek(name, sizeof name); }
    while (!strcmp(name, "hang")) { usleep(10000); fault(name, sizeof name); }
    return real.call[SIGN_INIT](session, mechanism, key);
}

static word sign(word session, void *data, word length, unsigned char *signature, word *signature_length) {
    char hanging[32];
    for (peek(hanging, sizeof hanging); !strcmp(hanging, "hang-sign"); peek(hanging, sizeof hanging)) usleep(10000);
    if (signature) step("before C_Sign");
    word answer = real.call[SIGN](session, data, length, signature, signature_length);
    char name[32];
    fault(name, sizeof name);
    if (!strcmp(name, "flip") && signature && !answer) signature[*signature_length - 1] ^= 1;
    return answer;
}

static word generate_key_pair(word session, void *mechanism, void *public, word public_count, void *private, word private_count, word *public_key, word *private_key) {
    char hanging[32];
    for (peek(hanging, sizeof hanging); !strcmp(hanging, "hang-generate"); peek(hanging, sizeof hanging)) usleep(10000);
    if (!strcmp(hanging, "full")) return DEVICE_MEMORY;
    if (!strcmp(hanging, "may-not-generate")) return USER_NOT_LOGGED_IN;
    step("before C_GenerateKeyPair");
    word answer = real.call[GENERATE_KEY_PAIR](session, mechanism, public, public_count, private, private_count, public_key, private_key);
    step("after C_GenerateKeyPair");
    return answer;
}

static word destroy_object(word session, word object) {
    step("before C_DestroyObject");
    word answer = real.call[DESTROY_OBJECT](session, object);
    step("after C_DestroyObject");
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
    ours.call[GENERATE_KEY_PAIR] = (call)generate_key_pair;
    ours.call[DESTROY_OBJECT] = (call)destroy_object;
    *list = &ours;
    return 0;
}
