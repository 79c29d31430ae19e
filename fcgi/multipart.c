/* multipart.c: boundaries, part headers, and the name in Content-Disposition. */
#include "fcgi/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int fail(struct fcgi_err *err, const char *sentence)
{
    fcgi_fail(err, FCGI_E_BAD_MULTIPART, "multipart: %s", sentence);
    return -1;
}

/* ---- header parameters: ; name=token; name="quoted" ----------------------------------------- */

struct text {
    const char *at;
    size_t n;
};

static void skip(struct text *text, size_t n)
{
    text->at += n;
    text->n -= n;
}

static void skip_blanks(struct text *text)
{
    while (text->n && (*text->at == ' ' || *text->at == '\t'))
        skip(text, 1);
}

static struct text take_until(struct text *text, const char *ends)
{
    struct text taken = {text->at, 0};

    while (text->n && !strchr(ends, *text->at)) {
        skip(text, 1);
        taken.n++;
    }
    return taken;
}

/* Behind the opening quote, to behind the closing one; -1 when there is none. */
static int take_quoted(struct text *text, struct text *value)
{
    *value = (struct text){text->at, 0};
    while (text->n && *text->at != '"') {
        size_t step = *text->at == '\\' && text->n > 1 && text->at[1] == '"' ? 2 : 1;
        skip(text, step);
        value->n += step;
    }
    if (!text->n)
        return -1;
    skip(text, 1);
    return 0;
}

/* The next parameter; 0 at the end, -1 when malformed. ";;" has none in between. */
static int next_param(struct text *text, struct text *name, struct text *value)
{
    do {
        take_until(text, ";");
        if (!text->n)
            return 0;
        skip(text, 1);
        skip_blanks(text);
        *name = take_until(text, "=;");
    } while (!name->n && (!text->n || *text->at != '='));
    if (!text->n || *text->at != '=')
        return -1;
    skip(text, 1);
    if (text->n && *text->at == '"') {
        skip(text, 1);
        return take_quoted(text, value) ? -1 : 1;
    }
    *value = take_until(text, "; \t");
    return 1;
}

/* 1 found, 0 not there, -1 malformed. */
static int find_param(struct text text, const char *wanted, struct text *value)
{
    struct text name;
    int got;

    while ((got = next_param(&text, &name, value)) > 0)
        if (name.n == strlen(wanted) && !strncasecmp(name.at, wanted, name.n))
            return 1;
    return got;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int is_boundary(struct text boundary)
{
    static const char others[] = "'()+_,-./:=? ";

    if (boundary.n == 0 || boundary.n > FCGI_MULTIPART_MAX_BOUNDARY ||
        boundary.at[boundary.n - 1] == ' ')
        return 0;
    for (size_t i = 0; i < boundary.n; i++) {
        char c = boundary.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              memchr(others, c, sizeof others - 1)))
            return 0;
    }
    return 1;
}

int fcgi_multipart_open(struct fcgi_multipart *multipart, const char *content_type,
                        const uint8_t *bytes, size_t n, struct fcgi_err *err)
{
    struct text boundary;

    memset(multipart, 0, sizeof *multipart);
    if (find_param((struct text){content_type, strlen(content_type)}, "boundary", &boundary) <= 0)
        return fail(err, "Content-Type has no boundary parameter");
    if (!is_boundary(boundary))
        return fail(err, "expected a boundary of 1 to 70 characters, as RFC 2046 allows them");
    multipart->bytes = bytes;
    multipart->n = n;
    memcpy(multipart->delimiter, "\r\n--", 4);
    memcpy(multipart->delimiter + 4, boundary.at, boundary.n);
    multipart->delimiter_n = 4 + boundary.n;

    /* the first boundary may stand at the very beginning, without its line break */
    if (n >= multipart->delimiter_n - 2 &&
        !memcmp(bytes, multipart->delimiter + 2, multipart->delimiter_n - 2)) {
        multipart->at = multipart->delimiter_n - 2;
        return 0;
    }
    const uint8_t *found =
        n ? memmem(bytes, n, multipart->delimiter, multipart->delimiter_n) : NULL;
    if (!found)
        return fail(err, "the body does not contain the boundary that Content-Type names");
    multipart->at = (size_t)(found - bytes) + multipart->delimiter_n;
    return 0;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void copy_name(char name[64], struct text value)
{
    size_t n = value.n < 63 ? value.n : 63;

    for (size_t i = 0; i < n; i++)
        name[i] = value.at[i] >= ' ' && value.at[i] <= '~' ? value.at[i] : '?';
    name[n] = 0;
}

/* One header line, without its end. */
static int read_header(struct text line, struct fcgi_part *part, struct fcgi_err *err)
{
    static const char wanted[] = "content-disposition";
    struct text key = take_until(&line, ":"), value;

    if (!line.n || !key.n)
        return fail(err, "a part's header line has no colon");
    if (key.n != sizeof wanted - 1 || strncasecmp(key.at, wanted, key.n))
        return 0;
    skip(&line, 1);
    skip_blanks(&line);
    if (line.n < 9 || strncasecmp(line.at, "form-data", 9))
        return fail(err, "a part's Content-Disposition is not form-data");
    if (find_param(line, "name", &value) <= 0 || value.n == 0)
        return fail(err, "a part's Content-Disposition has no name");
    copy_name(part->name, value);
    return 0;
}

/* From behind the boundary's line to behind the empty one. */
static int read_headers(struct fcgi_multipart *multipart, struct fcgi_part *part,
                        struct fcgi_err *err)
{
    enum { MAX_LINE = 4096, MAX_LINES = 16 };

    part->name[0] = 0;
    for (int i = 0; i < MAX_LINES; i++) {
        const uint8_t *line = multipart->bytes + multipart->at;
        size_t left = multipart->n - multipart->at;
        const uint8_t *end = memmem(line, left < MAX_LINE ? left : MAX_LINE, "\r\n", 2);
        if (!end)
            return fail(err, left < MAX_LINE ? "the body ends inside a part's headers"
                                             : "a part's header line is over 4096 bytes");
        multipart->at += (size_t)(end - line) + 2;
        if (end == line)
            return part->name[0] ? 0 : fail(err, "a part has no Content-Disposition");
        if (read_header((struct text){(const char *)line, (size_t)(end - line)}, part, err))
            return -1;
    }
    return fail(err, "a part has more than 16 header lines");
}

/* Behind a boundary: "--" ends it all; blanks and a line break begin a part. */
static int read_boundary_line(struct fcgi_multipart *multipart, struct fcgi_err *err)
{
    const uint8_t *at = multipart->bytes + multipart->at, *end = multipart->bytes + multipart->n;

    if (end - at >= 2 && at[0] == '-' && at[1] == '-')
        return 0;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return fail(err, "a boundary is not followed by a line break");
    multipart->at = (size_t)(at + 2 - multipart->bytes);
    return 1;
}

int fcgi_multipart_next(struct fcgi_multipart *multipart, struct fcgi_part *part,
                        struct fcgi_err *err)
{
    int begins = read_boundary_line(multipart, err);

    if (begins <= 0)
        return begins;
    if (multipart->parts++ == FCGI_MULTIPART_MAX_PARTS)
        return fail(err, "more than 64 parts");
    if (read_headers(multipart, part, err))
        return -1;
    /* an empty part's boundary shares the line break with the end of its headers */
    part->bytes = multipart->bytes + multipart->at;
    const uint8_t *from = part->bytes - 2;
    const uint8_t *found = memmem(from, multipart->n - multipart->at + 2, multipart->delimiter,
                                  multipart->delimiter_n);
    if (!found) {
        fcgi_fail(err, FCGI_E_BAD_MULTIPART,
                  "multipart: no closing boundary after the part \"%s\"; the body is cut short, or "
                  "its boundary is not the one in Content-Type",
                  part->name);
        return -1;
    }
    part->n = found < part->bytes ? 0 : (size_t)(found - part->bytes);
    multipart->at = (size_t)(found - multipart->bytes) + multipart->delimiter_n;
    return 1;
}
