/* target.c: where requests go, and whether anybody is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/engine.h"

enum { PROBE_MS = 10000 };

void t_engine_target(struct t_target *target, const char *url)
{
    CURLU *parts = curl_url();
    char *path = NULL, *scheme = NULL;
    CURLUcode rc = curl_url_set(parts, CURLUPART_URL, url, CURLU_GUESS_SCHEME);

    *target = (struct t_target){0};
    if (rc == CURLUE_OK)
        rc = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    if (rc == CURLUE_OK && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        rc = CURLUE_UNSUPPORTED_SCHEME;
    if (rc == CURLUE_OK)
        rc = curl_url_get(parts, CURLUPART_PATH, &path, 0);
    if (rc == CURLUE_OK && strcmp(path, "/") == 0)
        rc = curl_url_set(parts, CURLUPART_PATH, "/predict", 0);
    curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0);
    if (rc == CURLUE_OK)
        rc = curl_url_get(parts, CURLUPART_URL, &target->url, 0);
    curl_url_set(parts, CURLUPART_USER, NULL, 0);
    curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
    if (rc == CURLUE_OK)
        rc = curl_url_get(parts, CURLUPART_URL, &target->shown, 0);
    curl_free(scheme);
    curl_free(path);
    curl_url_cleanup(parts);
    if (parts == NULL || rc == CURLUE_OUT_OF_MEMORY)
        t_options_quit(T_EXIT_TRY_LATER, "no memory for \"%s\"", url);
    if (rc != CURLUE_OK)
        t_options_quit(T_EXIT_USAGE,
                       "\"%s\": expected a URL like http://127.0.0.1:8080/predict (%s)", url,
                       curl_url_strerror(rc));
}

void t_engine_target_free(struct t_target *target)
{
    curl_free(target->url);
    curl_free(target->shown);
}

int t_engine_probe(const struct t_options *options, const struct t_target *target, char text[256])
{
    CURL *easy = curl_easy_init();
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    long error = 0,
         timeout_ms = options->timeout_ms < PROBE_MS ? (long)options->timeout_ms : PROBE_MS;

    if (easy != NULL && curl_easy_setopt(easy, CURLOPT_URL, target->url) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, (long)!options->insecure) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options->insecure ? 0L : 2L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms) == CURLE_OK)
        rc = curl_easy_perform(easy);
    if (rc == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
    snprintf(text, 256, "%s", error != 0 ? strerror((int)error) : curl_easy_strerror(rc));
    curl_easy_cleanup(easy);
    return rc == CURLE_OK ? 0 : -1;
}
