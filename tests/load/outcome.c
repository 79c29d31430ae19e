/* outcome.c: a row and a reason for everything that can come back. */
#include "tests/load/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "weights/json.h"

enum { MAX_TOKENS = 1 << 20 };

static void say(struct t_outcome *outcome, const char *detail)
{
    snprintf(outcome->detail, sizeof outcome->detail, "%s", detail);
}

static const char *why_not_connected(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "refused";
    case EADDRNOTAVAIL:
        return "no free port here";
    case EMFILE:
    case ENFILE:
        return "no free descriptor here";
    default:
        return "not connected";
    }
}

/* No whole answer: what became of the connection. */
static const char *why_none(const struct t_answer *answer)
{
    switch (answer->code) {
    case CURLE_COULDNT_CONNECT:
        return why_not_connected(answer->error);
    case CURLE_COULDNT_RESOLVE_HOST:
        return "no such host";
    case CURLE_GOT_NOTHING:
        return "closed without an answer";
    case CURLE_SEND_FAIL_REWIND:
        return "kept connection closed";
    case CURLE_PARTIAL_FILE:
        return "cut short";
    case CURLE_SEND_ERROR:
        return "reset while sending";
    case CURLE_RECV_ERROR:
        return answer->status == 0 ? "reset" : "cut short";
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return "no HTTP";
    case CURLE_WRITE_ERROR:
        return "too long an answer";
    default:
        return curl_easy_strerror(answer->code);
    }
}

static const char *why_so_late(const struct t_answer *answer)
{
    return answer->status == 0 ? "no answer" : "answer unfinished";
}

static int looks_like_html(const struct t_answer *answer)
{
    size_t at = 0;

    if (strncasecmp(answer->type, "text/html", 9) == 0)
        return 1;
    while (at < answer->n_body && strchr(" \t\r\n", answer->body[at]) != NULL)
        at++;
    return at < answer->n_body && answer->body[at] == '<';
}

/* The error's code, if it is a word: it goes to a terminal. */
static void take_code(const struct wt_json *json, struct t_outcome *outcome)
{
    int value = wt_json_find(json, WT_JSON_ROOT, "code");
    char code[sizeof outcome->detail];

    if (value != WT_JSON_NONE && wt_json_string(json, value, code, sizeof code, NULL) &&
        code[strspn(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] ==
            '\0')
        say(outcome, code);
}

static void look_into(const struct t_answer *answer, struct t_outcome *outcome)
{
    struct wt_json json = {0};
    struct wt_err err;
    int good = answer->status >= 200 && answer->status < 300;
    enum wt_code code = WT_EFORMAT;

    if (answer->n_body > 0)
        code = wt_json_parse_numbers(&json, answer->body, answer->n_body, MAX_TOKENS, &err);
    if (code == WT_OK) {
        int success = wt_json_find(&json, WT_JSON_ROOT, "success");
        outcome->ok = good && wt_json_type(&json, success) != WT_JSON_FALSE;
        if (!outcome->ok)
            take_code(&json, outcome);
        if (good && !outcome->ok && outcome->detail[0] == '\0')
            say(outcome, "success is false");
    } else if (code == WT_ENOMEM) {
        say(outcome, "no memory to read it");
    } else if (looks_like_html(answer)) {
        say(outcome, "HTML");
    } else if (good) {
        say(outcome, answer->n_body == 0 ? "empty" : "no JSON");
    }
    wt_json_free(&json);
}

struct t_outcome t_outcome_of(const struct t_answer *answer)
{
    struct t_outcome outcome = {0};

    if (answer->code == CURLE_OPERATION_TIMEDOUT) {
        snprintf(outcome.row, sizeof outcome.row, "timeout");
        say(&outcome, why_so_late(answer));
    } else if (answer->code != CURLE_OK) {
        snprintf(outcome.row, sizeof outcome.row, "HTTP N/A");
        say(&outcome, why_none(answer));
    } else {
        snprintf(outcome.row, sizeof outcome.row, "HTTP %03d", answer->status);
        look_into(answer, &outcome);
    }
    return outcome;
}
