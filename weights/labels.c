/* labels.c: class names: ImageNet's, numbered ones, or a file's. */
#include "weights/labels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/embedded.h"

enum { LABELS_MAX_BYTES = 64 << 20 };

/* Bytes of the character that begins at s, or 0 when it is not UTF-8 or is a control character.
 * s ends in a NUL byte, which is no continuation byte. */
static size_t character(const unsigned char *s)
{
    static const unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* less was overlong */
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;

    if (n <= 1)
        return s[0] >= 0x20 && s[0] != 0x7f ? n : 0;
    unsigned code = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) || code < 0xa0)
        return 0;
    return n;
}

static int check_label(const char *label, int number, struct wt_err *err)
{
    const unsigned char *s = (const unsigned char *)label;

    if (*s == '\0')
        return wt_fail(err, WT_EFORMAT, "label %d is empty", number);
    while (*s != '\0') {
        size_t n = character(s);
        if (n == 0)
            return wt_fail(err, WT_EFORMAT,
                           "label %d: byte %02x at %d is not UTF-8 or a control character", number,
                           *s, (int)((const char *)s - label));
        s += n;
    }
    return WT_OK;
}

int wt_labels_check(const char *text, size_t bytes, int classes, struct wt_err *err)
{
    const char *at = text, *end = text + bytes;
    int n = 0;

    if (bytes == 0 || end[-1] != '\0')
        return wt_fail(err, WT_EFORMAT, "the last label does not end");
    for (; at < end; at += strlen(at) + 1, n++) {
        int code = check_label(at, n, err);
        if (code != WT_OK)
            return code;
    }
    if (n != classes)
        return wt_fail(err, WT_EFORMAT, "expected %d, one for each class, found %d", classes, n);
    return WT_OK;
}

/* Lines become strings; the last one may lack its end. text has room for one more byte. */
static size_t split_lines(char *text, size_t bytes)
{
    size_t out = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n')
            continue;
        text[out++] = text[i] == '\n' ? '\0' : text[i];
    }
    if (out > 0 && text[out - 1] != '\0')
        text[out++] = '\0';
    return out;
}

static int slurp(struct wt_labels *labels, int fd, const char *path, struct wt_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > LABELS_MAX_BYTES)
        return wt_fail(err, WT_EIO, "%s: expected a text file of at most %d bytes", path,
                       LABELS_MAX_BYTES);
    labels->text = malloc((size_t)st.st_size + 1);
    if (labels->text == NULL)
        return wt_fail(err, WT_ENOMEM, "%s: no memory for %jd bytes", path, (intmax_t)st.st_size);
    while (labels->bytes < (size_t)st.st_size) {
        ssize_t n = read(fd, labels->text + labels->bytes, (size_t)st.st_size - labels->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wt_fail(err, WT_EIO, "%s: %s", path, strerror(errno));
        if (n == 0)
            break;
        labels->bytes += (size_t)n;
    }
    return WT_OK;
}

int wt_labels_read(struct wt_labels *labels, const char *path, int classes, struct wt_err *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct wt_err why;

    *labels = (struct wt_labels){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wt_fail(err, WT_EIO, "%s: %s", path, strerror(errno));
    int code = slurp(labels, fd, path, err);
    close(fd);
    if (code != WT_OK)
        goto out;
    if (labels->bytes >= 3 && memcmp(labels->text, bom, 3) == 0)
        memmove(labels->text, labels->text + 3, labels->bytes -= 3);
    if (memchr(labels->text, '\0', labels->bytes) != NULL) {
        code = wt_fail(err, WT_EFORMAT, "%s: a NUL byte: this is not a text file", path);
        goto out;
    }
    labels->bytes = split_lines(labels->text, labels->bytes);
    if (wt_labels_check(labels->text, labels->bytes, classes, &why) != WT_OK)
        code = wt_fail(err, WT_EFORMAT, "%s: %s; one label a line, the first is number 0", path,
                       wt_err_sentence(&why));
out:
    if (code != WT_OK)
        wt_labels_free(labels);
    return code;
}

static int number_labels(struct wt_labels *labels, const char *prefix, int classes,
                         struct wt_err *err)
{
    size_t room = strlen(prefix) + 12; /* any int and the NUL byte */

    *labels = (struct wt_labels){.text = calloc((size_t)classes, room)};
    if (labels->text == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %d labels", classes);
    for (int i = 0; i < classes; i++) {
        int n = snprintf(labels->text + labels->bytes, room, "%s%d", prefix, i);
        labels->bytes += (size_t)n + 1;
    }
    return WT_OK;
}

int wt_labels_default(struct wt_labels *labels, int classes, struct wt_err *err)
{
    if (classes != 1000)
        return number_labels(labels, "class ", classes, err);
    size_t bytes = strlen(wt_embedded_imagenet_labels);
    *labels = (struct wt_labels){.text = malloc(bytes + 1)};
    if (labels->text == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %d labels", classes);
    memcpy(labels->text, wt_embedded_imagenet_labels, bytes);
    labels->bytes = split_lines(labels->text, bytes);
    return WT_OK;
}

int wt_labels_synthetic(struct wt_labels *labels, int classes, struct wt_err *err)
{
    return number_labels(labels, "synthetic class ", classes, err);
}

void wt_labels_free(struct wt_labels *labels)
{
    free(labels->text);
    *labels = (struct wt_labels){0};
}
