/* `GET /v1/diagnosis`: what `keymeter doctor` judges. Loop thread. */
#ifndef KEYMETER_API_DIAGNOSIS_H
#define KEYMETER_API_DIAGNOSIS_H

#include "io/http.h"

struct verdict handle_diagnosis(struct http_request *request);

#endif
