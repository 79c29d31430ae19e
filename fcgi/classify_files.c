/* classify_files.c: directories to files, files to bytes. */
#include "fcgi/classify_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 }; /* room kept free before each read */

static int say(char text[256], const char *path, const char *what, int error)
{
    snprintf(text, 256, "%.160s: %s: %s", path, what, strerror(error));
    return -1;
}

/* Takes path over, also when it fails. */
static int append(struct fcgi_classify_files *files, char *path, int listed)
{
    if (path != NULL && files->n == files->size) {
        size_t size = files->size != 0 ? files->size * 2 : 64;
        struct fcgi_classify_file *grown = reallocarray(files->file, size, sizeof(*grown));

        if (grown == NULL) {
            free(path);
            return -1;
        }
        files->file = grown;
        files->size = size;
    }
    if (path == NULL)
        return -1;
    files->file[files->n++] = (struct fcgi_classify_file){path, listed};
    return 0;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int add_entry(struct fcgi_classify_files *files, const char *directory, const char *name)
{
    size_t n = strlen(directory);
    struct stat info;
    char *path;

    if (asprintf(&path, "%s%s%s", directory, n > 0 && directory[n - 1] == '/' ? "" : "/", name) < 0)
        return -1;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        free(path);
        return 0;
    }
    return append(files, path, 1);
}

static int add_directory(struct fcgi_classify_files *files, const char *path, char text[256])
{
    struct dirent **entries;
    int n = scandir(path, &entries, visible, alphasort), code = 0;

    if (n < 0)
        return say(text, path, "cannot be listed", errno);
    for (int i = 0; i < n; i++) {
        if (code == 0)
            code = add_entry(files, path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return code != 0 ? say(text, path, "cannot be listed", ENOMEM) : 0;
}

int fcgi_classify_files_add(struct fcgi_classify_files *files, const char *path, char text[256])
{
    struct stat info;

    if (stat(path, &info) != 0)
        return say(text, path, "cannot be read", errno);
    if (S_ISDIR(info.st_mode))
        return add_directory(files, path, text);
    return append(files, strdup(path), 0) != 0 ? say(text, path, "cannot be kept", ENOMEM) : 0;
}

void fcgi_classify_files_free(struct fcgi_classify_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->file[i].path);
    free(files->file);
}

/* Room for READ_BYTES more. */
static int make_room(uint8_t **bytes, size_t *size, size_t n)
{
    size_t wanted = *size != 0 ? *size * 2 : (size_t)READ_BYTES * 2;
    uint8_t *grown;

    if (*size - n >= READ_BYTES)
        return 0;
    grown = realloc(*bytes, wanted);
    if (grown == NULL)
        return -1;
    *bytes = grown;
    *size = wanted;
    return 0;
}

int64_t fcgi_classify_files_read(const char *path, uint8_t **bytes, size_t *size, char text[256])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got;

    if (file < 0)
        return say(text, path, "cannot be opened", errno);
    do {
        if (make_room(bytes, size, n) != 0) {
            close(file);
            return say(text, path, "cannot be read", ENOMEM);
        }
        got = read(file, *bytes + n, *size - n);
        if (got > 0)
            n += (size_t)got;
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0)
        say(text, path, "cannot be read", errno);
    close(file);
    return got < 0 ? -1 : (int64_t)n;
}
