/* pictures.c: files, the bodies made of them, and the EXIF in a JPEG. */
#include "tests/load/pictures.h"

#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/buffer.h"
#include "fcgi/classify_files.h"
#include "fcgi/codec.h"
#include "fcgi/json.h"

#define BOUNDARY "----------------resnet-load-7b1e5a0c93d2"

enum { MARKER_APP1 = 0xE1, MARKER_SCAN = 0xDA, SEGMENT_HEAD = 4 };

/* ---- files ----------------------------------------------------------------------------------- */

static int is_picture(const char *path)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".jpe", ".jfif"};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return 1;
    return 0;
}

struct t_pictures t_pictures_list(const struct t_options *options)
{
    struct fcgi_classify_files files = {0};
    struct t_pictures pictures = {0};
    char text[256];

    for (int i = 0; i < options->n_paths; i++)
        if (fcgi_classify_files_add(&files, options->path[i], text) != 0)
            t_options_quit(T_EXIT_USAGE, "%s", text);
    pictures.path = calloc(files.n + 1, sizeof *pictures.path);
    if (pictures.path == NULL)
        t_options_quit(T_EXIT_TRY_LATER, "no memory for the names of %zu pictures", files.n);
    for (size_t i = 0; i < files.n; i++)
        if (!files.file[i].listed || is_picture(files.file[i].path)) {
            pictures.path[pictures.n++] = files.file[i].path;
            files.file[i].path = NULL;
        }
    fcgi_classify_files_free(&files);
    if (pictures.n == 0)
        t_options_quit(T_EXIT_USAGE, "%s: no picture (.jpg, .jpeg, .png, .webp) is there",
                       options->path[0]);
    return pictures;
}

void t_pictures_free(struct t_pictures *pictures)
{
    for (size_t i = 0; i < pictures->n; i++)
        free(pictures->path[i]);
    free(pictures->path);
}

int t_pictures_read(const char *path, uint8_t **bytes, size_t *n, char text[256])
{
    size_t size = 0;
    int64_t got;

    *bytes = NULL;
    got = fcgi_classify_files_read(path, bytes, &size, text);
    if (got < 0) {
        free(*bytes);
        *bytes = NULL;
        return -1;
    }
    *n = (size_t)got;
    return 0;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

const char *t_pictures_type(const uint8_t *bytes, size_t n)
{
    if (n >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return "image/jpeg";
    if (n >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return "image/png";
    if (n >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0)
        return "image/webp";
    return "application/octet-stream";
}

static void form(struct fcgi_buffer *out, const char *field, const char *name, const uint8_t *bytes,
                 size_t n)
{
    fcgi_buffer_format(
        out, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"", field);
    for (; *name != '\0'; name++) /* what would end the quotes, or the line */
        fcgi_buffer_add(out, strchr("\"\\\r\n", *name) != NULL ? "_" : name, 1);
    fcgi_buffer_format(out, "\"\r\nContent-Type: %s\r\n\r\n", t_pictures_type(bytes, n));
    fcgi_buffer_add(out, bytes, n);
    fcgi_buffer_text(out, "\r\n--" BOUNDARY "--\r\n");
}

static void json(struct fcgi_buffer *out, const char *field, const uint8_t *bytes, size_t n)
{
    enum { GROUPS = 3 * 1024 }; /* whole groups: padding only at the end */
    char text[BASE64_ENCODE_RAW_LENGTH(GROUPS)];

    fcgi_buffer_text(out, "{");
    fcgi_json_string(out, field);
    fcgi_buffer_text(out, ":\"");
    for (size_t at = 0; at < n; at += GROUPS) {
        size_t some = n - at < GROUPS ? n - at : GROUPS;
        base64_encode_raw(text, some, bytes + at);
        fcgi_buffer_add(out, text, BASE64_ENCODE_RAW_LENGTH(some));
    }
    fcgi_buffer_text(out, "\"}");
}

int t_pictures_body(const struct t_options *options, const char *name, const uint8_t *bytes,
                    size_t n, struct t_body *body)
{
    struct fcgi_buffer out = {0};
    const char *type = t_pictures_type(bytes, n);

    if (options->send == T_SEND_FORM) {
        form(&out, options->field, name, bytes, n);
        type = "multipart/form-data; boundary=" BOUNDARY;
    } else if (options->send == T_SEND_JSON) {
        json(&out, options->field, bytes, n);
        type = "application/json";
    } else {
        fcgi_buffer_add(&out, bytes, n);
    }
    if (out.failed) {
        fcgi_buffer_free(&out);
        return -1;
    }
    body->bytes = (uint8_t *)out.bytes;
    body->n = out.n;
    snprintf(body->type, sizeof body->type, "%s", type);
    return 0;
}

/* ---- EXIF ------------------------------------------------------------------------------------ */

/* The first EXIF segment at `at` or after it: its offset, *length with its head; or 0. */
static size_t find_exif(const uint8_t *bytes, size_t n, size_t at, size_t *length)
{
    while (at + SEGMENT_HEAD <= n && bytes[at] == 0xFF && bytes[at + 1] != MARKER_SCAN) {
        *length = 2 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]);
        if (*length > n - at)
            return 0;
        if (bytes[at + 1] == MARKER_APP1 && *length >= SEGMENT_HEAD + 6 &&
            memcmp(bytes + at + SEGMENT_HEAD, "Exif\0", 6) == 0)
            return at;
        at += *length;
    }
    return 0;
}

static int is_jpeg(const uint8_t *bytes, size_t n)
{
    return n > 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

int t_pictures_orientation(const uint8_t *bytes, size_t n)
{
    size_t length, at = is_jpeg(bytes, n) ? find_exif(bytes, n, 2, &length) : 0;

    return at == 0 ? 1 : fcgi_exif_orientation(bytes + at + SEGMENT_HEAD, length - SEGMENT_HEAD);
}

size_t t_pictures_strip_exif(uint8_t *bytes, size_t n)
{
    size_t length, at = is_jpeg(bytes, n) ? 2 : 0;

    while (at != 0 && (at = find_exif(bytes, n, at, &length)) != 0) {
        memmove(bytes + at, bytes + at + length, n - at - length);
        n -= length;
    }
    return n;
}
