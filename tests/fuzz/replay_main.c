/* replay_main.c: a fuzzer without libFuzzer: every file named on the command line, or in a
 * directory named there, once. Prints how many there were; exits with 1 when there were none. -v
 * says which it comes to, so that the last one is known when it ends the program. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static int verbose;
static unsigned files;

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

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
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
