/* Filling a struct problem. Any thread. */
#include "service/problem.h"

#include <stdarg.h>
#include <stdio.h>

enum err problem_set(struct problem *problem, int status, const char *code, const char *format, ...)
{
    problem->status = status;
    problem->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->detail, sizeof problem->detail, format, arguments);
    va_end(arguments);
    return ERR_DENIED;
}

void problem_add_field(struct problem *problem, const char *location, const char *format, ...)
{
    problem->status = 422;
    problem->code = "validation_failed";
    if (!problem->detail[0])
        snprintf(problem->detail, sizeof problem->detail, "The request has fields that are wrong.");
    if (problem->field_count == PROBLEM_FIELDS_MAX) return;
    unsigned at = problem->field_count++;
    snprintf(problem->fields[at].location, sizeof problem->fields[at].location, "%s", location);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->fields[at].message, sizeof problem->fields[at].message, format, arguments);
    va_end(arguments);
}
