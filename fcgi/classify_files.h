/* classify_files.h: the pictures that a command line means. Internal to fcgi/. */
#ifndef FCGI_CLASSIFY_FILES_H
#define FCGI_CLASSIFY_FILES_H

#include <stddef.h>
#include <stdint.h>

struct fcgi_classify_file {
    char *path;
    int listed; /* 1: found in a directory, and skipped if it is no picture */
};

struct fcgi_classify_files {
    struct fcgi_classify_file *file;
    size_t n, size;
};

/* A directory stands for the files in it, sorted by name, those beginning with a dot left out;
 * directories in it are not entered. Returns 0, or -1 with a sentence (what could be read is in
 * files). Free in any case. */
int fcgi_classify_files_add(struct fcgi_classify_files *files, const char *path, char text[256]);
void fcgi_classify_files_free(struct fcgi_classify_files *files);

/* The whole file into *bytes, which grows as needed and is the caller's to free; *size is its
 * capacity. Returns the length, or -1 with a sentence. */
int64_t fcgi_classify_files_read(const char *path, uint8_t **bytes, size_t *size, char text[256]);

#endif
