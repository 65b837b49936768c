/*
 * A part of the HTTP/1.1 parser in llhttp/, as its authors wrote it: their code
 * does not know our warnings.
 */
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-function"

#include "llhttp/http.c" /* NOLINT(bugprone-suspicious-include) */
