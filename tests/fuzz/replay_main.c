/* replay_main.c: a fuzzer without libFuzzer: every file named on the command line, or in a
 * directory named there, once; with -m N each again and again, where its first allocation fails,
 * its second, up to the Nth. Prints how many files there were; exits with 1 when there were none.
 * -v says which it comes to, so that the last one is known when it ends the program. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <sys/stat.h>

#include "tests/fixtures/scarce.h"
#include "tests/fuzz/fuzz.h"

static int verbose;
static unsigned files, most_failures;
static jmp_buf given_up;

/* LeakSanitizer's, where it is there. */
__attribute__((weak)) void __lsan_disable(void);
__attribute__((weak)) void __lsan_enable(void);

void fuzz_excuse(void)
{
    if (atomic_load(&t_scarce->failed))
        longjmp(given_up, 1);
}

static void starve(const uint8_t *bytes, size_t n, unsigned number)
{
    enum { MOST_OPEN = 8 }; /* at once, by a fuzzer */
    int free_fd = dup(STDERR_FILENO);

    close(free_fd);
    atomic_store(&t_scarce->seen, 0);
    atomic_store(&t_scarce->failed, 0);
    atomic_store(&t_scarce->n, 1);
    atomic_store(&t_scarce->from, number);
    if (!setjmp(given_up)) {
        LLVMFuzzerTestOneInput(bytes, n);
    } else {
        for (int fd = free_fd; fd < free_fd + MOST_OPEN; fd++)
            close(fd);
    }
    atomic_store(&t_scarce->from, 0);
}

/* What does not come to its end has no chance to free, so nobody looks for leaks. */
static void replay_starved(const uint8_t *bytes, size_t n)
{
    int failed = 1;

    if (__lsan_disable)
        __lsan_disable();
    for (unsigned number = 1; failed && number <= most_failures; number++) {
        if (verbose)
            fprintf(stderr, "    allocation %u fails\n", number);
        starve(bytes, n, number);
        failed = atomic_exchange(&t_scarce->failed, 0) != 0;
    }
    if (__lsan_enable)
        __lsan_enable();
}

static void fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    uint8_t *bytes;
    size_t n;

    if (file == NULL || fstat(fileno(file), &st) != 0)
        fail(path);
    n = (size_t)st.st_size;
    bytes = malloc(n != 0 ? n : 1);
    if (bytes == NULL || fread(bytes, 1, n, file) != n)
        fail(path);
    fclose(file);
    if (verbose)
        fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(bytes, n);
    replay_starved(bytes, n);
    free(bytes);
    files++;
}

static void replay_directory(const char *directory)
{
    DIR *dir = opendir(directory);
    char path[PATH_MAX];

    if (dir == NULL)
        fail(directory);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        replay_file(path);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    struct stat st;

    t_scarce_spare("libfcgi libwebp libwebpdemux");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-m") == 0 && i + 1 < argc)
            most_failures = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "-v") == 0)
            verbose = 1;
        else if (stat(argv[i], &st) != 0)
            fail(argv[i]);
        else if (S_ISDIR(st.st_mode))
            replay_directory(argv[i]);
        else
            replay_file(argv[i]);
    }
    printf("%u files\n", files);
    return files != 0 ? 0 : 1;
}
