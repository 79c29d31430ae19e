/* nginx_conf.c: words, blocks and included files, by nginx's own rules. */
#include "spawn/nginx_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Larger than any configuration, and small enough for a file that is none. */
enum {
    MAX_BYTES = 8 << 20,
    MAX_FILES = 4096,
    MAX_INCLUDED = 16, /* files that include each other */
    MAX_NESTED = 64,   /* blocks in blocks */
    MAX_WORD = 4096,
    MAX_WORDS = 4096
};

struct reader {
    struct spawn_nginx_conf *conf;
    char folder[MAX_WORD];       /* of the first file, with its slash */
    const char *dump, *dump_end; /* where files are looked for; NULL: on the disk */
    char *text;                  /* [512], the sentence that says what is wrong */
    int included, nested;
};

/* One file on its way. */
struct source {
    const char *at, *end;
    int file, line;
};

enum mark { MARK_WORD, MARK_SEMICOLON, MARK_OPEN, MARK_CLOSE, MARK_END, MARK_BAD };

static int fail(const struct reader *reader, const struct source *source, const char *what)
{
    snprintf(reader->text, 512, "%.256s:%d: %s", reader->conf->files[source->file], source->line,
             what);
    return -1;
}

/* ---- words ---------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct source *source)
{
    for (; source->at < source->end; source->at++) {
        if (*source->at == '#')
            while (source->at < source->end && *source->at != '\n')
                source->at++;
        if (source->at == source->end)
            return;
        if (!is_blank(*source->at))
            return;
        source->line += *source->at == '\n';
    }
}

/* nginx takes the backslash away from quotes, blanks it knows, and itself; elsewhere it stays, for
 * regular expressions. */
static char unescaped(char c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case '"':
    case '\'':
    case '\\':
        return c;
    default:
        return '\0';
    }
}

/* After the opening quote, if there is one. */
static enum mark read_word(struct source *source, char quote, char word[MAX_WORD])
{
    size_t n = 0;
    char before = '\0';

    for (; source->at < source->end; source->at++) {
        char c = *source->at;
        if (quote ? c == quote : is_blank(c) || c == ';' || (c == '{' && before != '$'))
            break;
        if (c == '\\' && source->at + 1 < source->end) {
            char plain = unescaped(source->at[1]);
            if (plain) {
                c = plain;
                source->at++;
            } else if (n < MAX_WORD - 2) {
                word[n++] = c;
                c = *++source->at;
            }
        }
        source->line += *source->at == '\n';
        if (n >= MAX_WORD - 1)
            return MARK_BAD;
        word[n++] = before = c;
    }
    word[n] = '\0';
    if (quote && source->at == source->end)
        return MARK_BAD;
    source->at += quote != '\0';
    return MARK_WORD;
}

static enum mark next_mark(struct source *source, char word[MAX_WORD])
{
    skip_blanks(source);
    if (source->at == source->end)
        return MARK_END;
    switch (*source->at) {
    case ';':
        source->at++;
        return MARK_SEMICOLON;
    case '{':
        source->at++;
        return MARK_OPEN;
    case '}':
        source->at++;
        return MARK_CLOSE;
    case '"':
    case '\'':
        return read_word(source, *source->at++, word);
    default:
        return read_word(source, '\0', word);
    }
}

/* ---- directives ----------------------------------------------------------------------------- */

static struct spawn_nginx_directive *add_directive(struct spawn_nginx_conf *conf)
{
    if (conf->n == conf->capacity) {
        int capacity = conf->capacity ? 2 * conf->capacity : 256;
        void *grown = reallocarray(conf->directives, (size_t)capacity, sizeof *conf->directives);
        if (!grown)
            return NULL;
        conf->directives = grown;
        conf->capacity = capacity;
    }
    struct spawn_nginx_directive *directive = &conf->directives[conf->n++];
    *directive = (struct spawn_nginx_directive){0};
    return directive;
}

static int add_word(struct spawn_nginx_directive *directive, const char *word)
{
    if (directive->n_words == MAX_WORDS)
        return -1;
    char **words = reallocarray(directive->words, (size_t)directive->n_words + 1, sizeof *words);
    if (!words)
        return -1;
    directive->words = words;
    words[directive->n_words] = strdup(word);
    if (!words[directive->n_words])
        return -1;
    directive->n_words++;
    return 0;
}

static int read_file(struct reader *reader, const char *path, int parent);
static int read_bytes(struct reader *reader, const char *path, const char *bytes, size_t n,
                      int parent);

static int include_from_disk(struct reader *reader, const char *pattern, int parent)
{
    glob_t found = {0};
    int failed = 0;

    if (!glob(pattern, 0, NULL, &found))
        for (size_t i = 0; i < found.gl_pathc && !failed; i++)
            failed = read_file(reader, found.gl_pathv[i], parent);
    globfree(&found);
    return failed;
}

/* How many files of the dump it was; -1 with a sentence. */
static int include_from_dump(struct reader *reader, const char *pattern, int parent)
{
    struct spawn_nginx_file file;
    char path[MAX_WORD];
    int n = 0;

    for (const char *at = reader->dump; spawn_nginx_dump_next(&at, reader->dump_end, &file);) {
        snprintf(path, sizeof path, "%.*s", file.path_n, file.path);
        if (strcmp(path, pattern) != 0 && fnmatch(pattern, path, FNM_PATHNAME | FNM_PERIOD) != 0)
            continue;
        if (read_bytes(reader, path, file.bytes, file.n, parent))
            return -1;
        n++;
    }
    return n;
}

/* `include` is replaced by what it names. A pattern may match nothing, a name must be there. */
static int include(struct reader *reader, const struct source *source, const char *pattern,
                   int parent)
{
    char full[2 * MAX_WORD];
    bool is_pattern = strpbrk(pattern, "*?[") != NULL;

    if (reader->included >= MAX_INCLUDED)
        return fail(reader, source, "more than 16 files include each other");
    snprintf(full, sizeof full, "%s%s", *pattern == '/' ? "" : reader->folder, pattern);
    if (!reader->dump)
        return is_pattern ? include_from_disk(reader, full, parent)
                          : read_file(reader, full, parent);
    int n = include_from_dump(reader, full, parent);
    if (n == 0 && !is_pattern)
        return fail(reader, source, "it includes a file that is not in this text");
    return n < 0 ? -1 : 0;
}

/* The words of one directive. Returns the mark that ended them, or MARK_BAD. */
static enum mark read_directive(struct source *source, struct spawn_nginx_directive *directive)
{
    char word[MAX_WORD];
    enum mark mark;

    for (;;) {
        skip_blanks(source);
        if (!directive->n_words)
            directive->line = source->line;
        mark = next_mark(source, word);
        if (mark != MARK_WORD)
            return mark;
        if (add_word(directive, word))
            return MARK_BAD;
    }
}

/* Takes a directive that was an include, or nothing at all, away again. */
static void drop_last(struct spawn_nginx_conf *conf)
{
    struct spawn_nginx_directive *last = &conf->directives[--conf->n];

    for (int i = 0; i < last->n_words; i++)
        free(last->words[i]);
    free(last->words);
}

static int end_directive(struct reader *reader, const struct source *source, int index)
{
    struct spawn_nginx_directive *directive = &reader->conf->directives[index];
    char pattern[MAX_WORD];
    int parent = directive->parent;

    if (directive->n_words == 0)
        return fail(reader, source, "a \";\" where a directive was expected");
    if (directive->n_words != 2 || strcmp(directive->words[0], "include") != 0)
        return 0;
    snprintf(pattern, sizeof pattern, "%s", directive->words[1]);
    drop_last(reader->conf);
    return include(reader, source, pattern, parent);
}

static int read_blocks(struct reader *reader, struct source *source, int parent)
{
    int block = parent;

    for (;;) {
        int index = reader->conf->n;
        struct spawn_nginx_directive *directive = add_directive(reader->conf);
        if (!directive)
            return fail(reader, source, "no memory");
        directive->parent = block;
        directive->file = source->file;
        enum mark mark = read_directive(source, directive);
        if (mark == MARK_SEMICOLON) {
            if (end_directive(reader, source, index))
                return -1;
        } else if (mark == MARK_OPEN && directive->n_words) {
            if (++reader->nested > MAX_NESTED)
                return fail(reader, source, "more than 64 blocks in each other");
            directive->is_block = true;
            block = index;
        } else if (mark == MARK_CLOSE && !directive->n_words && block != parent) {
            drop_last(reader->conf);
            reader->nested--;
            block = reader->conf->directives[block].parent;
        } else if (mark == MARK_END && !directive->n_words && block == parent) {
            drop_last(reader->conf);
            return 0;
        } else {
            return fail(reader, source,
                        mark == MARK_BAD    ? "a word that is too long, or a quote without end"
                        : mark == MARK_END  ? "the file ends within a directive or block"
                        : mark == MARK_OPEN ? "a \"{\" without a name before it"
                                            : "a \"}\" that closes nothing");
        }
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

static int add_file(struct spawn_nginx_conf *conf, const char *path)
{
    char **files = reallocarray(conf->files, (size_t)conf->n_files + 1, sizeof *files);

    if (!files)
        return -1;
    conf->files = files;
    files[conf->n_files] = strdup(path);
    return files[conf->n_files] ? conf->n_files++ : -1;
}

static int read_bytes(struct reader *reader, const char *path, const char *bytes, size_t n,
                      int parent)
{
    struct source source = {.at = bytes, .end = bytes + n, .line = 1};

    reader->conf->bytes += n;
    source.file = reader->conf->n_files < MAX_FILES ? add_file(reader->conf, path) : -1;
    if (source.file < 0 || reader->conf->bytes > MAX_BYTES) {
        snprintf(reader->text, 512, "%.256s: more than 8 MiB or 4096 files of configuration", path);
        return -1;
    }
    reader->included++;
    int failed = read_blocks(reader, &source, parent);
    reader->included--;
    return failed;
}

static void set_folder(struct reader *reader, const char *path, int path_n)
{
    const char *slash = memrchr(path, '/', (size_t)path_n);

    snprintf(reader->folder, sizeof reader->folder, "%.*s", slash ? (int)(slash - path) + 1 : 0,
             path);
}

/* A dump begins with the main file; any other text is the main file. */
static int read_text(struct reader *reader, const char *name, const char *bytes, size_t n)
{
    struct spawn_nginx_file first;
    const char *at = bytes;
    char path[MAX_WORD];

    if (!spawn_nginx_dump_next(&at, bytes + n, &first))
        return read_bytes(reader, name, bytes, n, SPAWN_NGINX_TOP);
    reader->dump = bytes;
    reader->dump_end = bytes + n;
    snprintf(path, sizeof path, "%.*s", first.path_n, first.path);
    set_folder(reader, path, (int)strlen(path));
    return read_bytes(reader, path, first.bytes, first.n, SPAWN_NGINX_TOP);
}

/* At most one byte more than there may be. Its bytes, or -1 with errno. */
static ssize_t read_all(int fd, char *bytes)
{
    size_t n = 0;
    ssize_t got = 0;

    while (n <= MAX_BYTES && (got = read(fd, bytes + n, MAX_BYTES + 1 - n)) > 0)
        n += (size_t)got;
    return got < 0 ? -1 : (ssize_t)n;
}

/* Up to its end. The caller frees; NULL with a sentence. Only the standard input need not be a
 * file: nothing is to wait for a pipe. */
static char *load(const struct reader *reader, const char *path, size_t *n)
{
    bool is_input = !strcmp(path, "-");
    int fd = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    char *bytes = fd < 0 ? NULL : malloc(MAX_BYTES + 1);
    ssize_t got = -1;

    if (bytes && (is_input || (!fstat(fd, &status) && S_ISREG(status.st_mode))))
        got = read_all(fd, bytes);
    else if (bytes)
        errno = EINVAL;
    if (got < 0) {
        snprintf(reader->text, 512, "%.256s: %s", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    }
    if (fd >= 0 && !is_input)
        close(fd);
    *n = (size_t)got;
    return bytes;
}

static int read_file(struct reader *reader, const char *path, int parent)
{
    size_t n = 0;
    char *bytes = load(reader, path, &n);
    int failed = bytes ? read_bytes(reader, path, bytes, n, parent) : -1;

    free(bytes);
    return failed;
}

int spawn_nginx_conf_read(struct spawn_nginx_conf *conf, const char *path, char text[512])
{
    struct reader reader = {.conf = conf, .text = text};
    size_t n = 0;
    char *bytes = load(&reader, path, &n);

    set_folder(&reader, path, (int)strlen(path));
    int failed = bytes ? read_text(&reader, path, bytes, n) : -1;
    free(bytes);
    return failed;
}

int spawn_nginx_conf_parse(struct spawn_nginx_conf *conf, const char *name, const char *bytes,
                           size_t n, char text[512])
{
    struct reader reader = {.conf = conf, .text = text, .dump = n ? bytes : "", .dump_end = bytes};

    return read_text(&reader, name, bytes, n);
}

void spawn_nginx_conf_free(struct spawn_nginx_conf *conf)
{
    while (conf->n)
        drop_last(conf);
    for (int i = 0; i < conf->n_files; i++)
        free(conf->files[i]);
    free(conf->files);
    free(conf->directives);
    *conf = (struct spawn_nginx_conf){0};
}
