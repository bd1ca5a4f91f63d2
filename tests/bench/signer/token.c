/* What a PKCS#11 module does without anything around it.
 *
 * usage: token MODULE LABEL PIN_FILE sign ALG CKA_ID THREADS SECONDS   prints signatures a second, C_SignInit and C_Sign alone
 *        token MODULE LABEL PIN_FILE generate COUNT                    makes P-256 pairs; prints "CKA_ID POINT", hexadecimal, for each
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long word;
typedef word (*call)();
struct functions { unsigned char version[2]; call call[68]; };
struct attribute { word type; void *value; word length; };
struct mechanism { word type; void *parameter; word length; };
enum {
    INITIALIZE = 0, SLOT_LIST = 4, TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, ATTRIBUTES = 24, FIND_INIT = 26, FIND = 27,
    FIND_FINAL = 28, SIGN_INIT = 42, SIGN = 43, GENERATE_PAIR = 59
};
enum { CKA_CLASS = 0x0, CKA_TOKEN = 0x1, CKA_PRIVATE = 0x2, CKA_ID = 0x102, CKA_SENSITIVE = 0x103, CKA_SIGN = 0x108, CKA_VERIFY = 0x10A,
    CKA_EXTRACTABLE = 0x162, CKA_EC_PARAMS = 0x180, CKA_EC_POINT = 0x181 };

static struct functions *module;
static word slot;
static const char *algorithm;
static unsigned char id[16];
static volatile int stop;

static void check(const char *what, word answer) {
    if (!answer) return;
    fprintf(stderr, "%s: CKR 0x%lx\n", what, answer);
    exit(1);
}

static word session(void) {
    word handle;
    check("C_OpenSession", module->call[OPEN_SESSION](slot, 6UL, NULL, NULL, &handle));
    return handle;
}

static void *sign(void *count) {
    word handle = session(), key, found = 0, class = 3;
    struct attribute wanted[] = { { CKA_CLASS, &class, sizeof class }, { CKA_ID, id, sizeof id } };
    check("C_FindObjectsInit", module->call[FIND_INIT](handle, wanted, 2UL));
    check("C_FindObjects", module->call[FIND](handle, &key, 1UL, &found));
    check("C_FindObjectsFinal", module->call[FIND_FINAL](handle));
    check("no such key", found != 1);
    /* A digest, or a digest within its DigestInfo (RFC 8017 section 9.2). */
    static const unsigned char prefix[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
    int rsa = !strcmp(algorithm, "RS256");
    struct mechanism mechanism = { rsa ? 0x1 : 0x1041, NULL, 0 };
    unsigned char input[51], output[512];
    word skip = rsa ? sizeof prefix : 0;
    memcpy(input, prefix, skip);
    for (unsigned long done = 0; !stop; done++) {
        word length = sizeof output;
        memset(input + skip, (int)done, 32);
        check("C_SignInit", module->call[SIGN_INIT](handle, &mechanism, key));
        check("C_Sign", module->call[SIGN](handle, input, skip + 32, output, &length));
        *(unsigned long *)count = done + 1;
    }
    return NULL;
}

static void generate(unsigned long count) {
    word handle = session(), public, private;
    unsigned char yes = 1, no = 0, curve[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    struct mechanism mechanism = { 0x1040, NULL, 0 };
    for (unsigned long made = 1; made <= count; made++) {
        memset(id, 0xbe, sizeof id);
        for (int at = 0; at < 8; at++) id[15 - at] = made >> 8 * at;
        struct attribute of_public[] = { { CKA_TOKEN, &yes, 1 }, { CKA_VERIFY, &yes, 1 }, { CKA_ID, id, sizeof id }, { CKA_EC_PARAMS, curve, sizeof curve } };
        struct attribute of_private[] = { { CKA_TOKEN, &yes, 1 }, { CKA_PRIVATE, &yes, 1 }, { CKA_SENSITIVE, &yes, 1 }, { CKA_EXTRACTABLE, &no, 1 }, { CKA_SIGN, &yes, 1 }, { CKA_ID, id, sizeof id } };
        check("C_GenerateKeyPair", module->call[GENERATE_PAIR](handle, &mechanism, of_public, 4UL, of_private, 6UL, &public, &private));
        unsigned char point[80];
        struct attribute shown = { CKA_EC_POINT, point, sizeof point };
        check("C_GetAttributeValue", module->call[ATTRIBUTES](handle, public, &shown, 1UL));
        for (int at = 0; at < 16; at++) printf("%02x", id[at]);
        printf(" ");
        /* 04 and both coordinates are the last 65 octets, wrapped or not. */
        for (word at = shown.length - 65; at < shown.length; at++) printf("%02x", point[at]);
        printf("\n");
    }
}

int main(int count, char **words) {
    if (count < 6) return fprintf(stderr, "see the head of token.c\n"), 2;
    void *library = dlopen(words[1], RTLD_NOW);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
    check("C_GetFunctionList", ((call)dlsym(library, "C_GetFunctionList"))(&module));
    void *arguments[6] = { NULL, NULL, NULL, NULL, (void *)2, NULL };
    check("C_Initialize", module->call[INITIALIZE](arguments));
    word slots[64], number = 64;
    check("C_GetSlotList", module->call[SLOT_LIST](1, slots, &number));
    int known = 0;
    for (word at = 0; at < number; at++) {
        char info[512], label[33] = { 0 };
        check("C_GetTokenInfo", module->call[TOKEN_INFO](slots[at], info));
        memcpy(label, info, 32);
        for (int end = 31; end >= 0 && label[end] == ' '; end--) label[end] = 0;
        if (!strcmp(label, words[2])) slot = slots[at], known = 1;
    }
    check("no such token", !known);
    char pin[128] = { 0 };
    FILE *file = fopen(words[3], "r");
    if (!file || !fgets(pin, sizeof pin, file)) return fprintf(stderr, "%s cannot be read\n", words[3]), 1;
    pin[strcspn(pin, "\r\n")] = 0;
    word anchor = session();
    check("C_Login", module->call[LOGIN](anchor, 1UL, pin, (word)strlen(pin)));
    if (!strcmp(words[4], "generate")) return generate(strtoul(words[5], NULL, 10)), 0;
    if (count < 9) return fprintf(stderr, "see the head of token.c\n"), 2;

    algorithm = words[5];
    for (int at = 0; at < 16; at++) {
        unsigned octet;
        if (sscanf(words[6] + 2 * at, "%2x", &octet) != 1) return fprintf(stderr, "CKA_ID has 32 hexadecimal digits\n"), 2;
        id[at] = octet;
    }
    int threads = atoi(words[7]);
    pthread_t running[64];
    static unsigned long done[64][8];
    struct timespec began, ended, span = { atol(words[8]), 0 };
    span.tv_nsec = (long)((atof(words[8]) - span.tv_sec) * 1e9);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int at = 0; at < threads; at++) pthread_create(&running[at], NULL, sign, done[at]);
    nanosleep(&span, NULL);
    stop = 1;
    unsigned long all = 0;
    for (int at = 0; at < threads; at++) pthread_join(running[at], NULL), all += done[at][0];
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%.1f\n", all / (ended.tv_sec - began.tv_sec + (ended.tv_nsec - began.tv_nsec) / 1e9));
    return 0;
}
