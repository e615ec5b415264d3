/* If-Match and If-None-Match. Called by changes on the committer's thread, behind the row's lock;
 * any thread. What always holds: a list of tags is met by one of them, a weak or unknown tag by
 * nothing, and `*` by whatever there is. */
#include "service/precondition.h"

#include <stdio.h>
#include <string.h>

void version_tag(char out[VERSION_TAG_SIZE], int64_t version)
{
    snprintf(out, VERSION_TAG_SIZE, "\"%lld\"", (long long)version);
}

int64_t version_next(int64_t version, int64_t now_ms)
{
    return now_ms > version ? now_ms : version + 1;
}

static bool tag_listed(const char *list, const char *tag)
{
    size_t length = strlen(tag);
    while (*list) {
        list += strspn(list, " \t,");
        size_t own = strcspn(list, ",");
        while (own && (list[own - 1] == ' ' || list[own - 1] == '\t'))
            own--;
        if ((own == 1 && *list == '*') || (own == length && memcmp(list, tag, own) == 0))
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

enum err precondition_check(const struct precondition *precondition, int64_t version,
                            struct problem *problem)
{
    char tag[VERSION_TAG_SIZE];
    version_tag(tag, version);
    if (precondition->if_none && version)
        return problem_set(problem, 412, "precondition_failed", "There is one already.");
    if (!precondition->if_match || (version && tag_listed(precondition->if_match, tag)))
        return ERR_OK;
    return problem_set(problem, 412, "precondition_failed",
                       version ? "It was changed since you read it; read it again."
                               : "There is none that If-Match could mean.");
}
