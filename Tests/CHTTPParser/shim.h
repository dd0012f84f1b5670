/// http_parser's fields are bit-fields and its errors a macro: functions that Swift can call.
#ifndef MILLRACE_CHTTPPARSER_SHIM_H
#define MILLRACE_CHTTPPARSER_SHIM_H

#include <http_parser.h>

static inline unsigned millrace_parser_errno(const http_parser *parser) { return parser->http_errno; }
static inline unsigned millrace_parser_method(const http_parser *parser) { return parser->method; }
static inline unsigned millrace_parser_status(const http_parser *parser) { return parser->status_code; }
static inline unsigned millrace_parser_minor(const http_parser *parser) { return parser->http_minor; }
static inline unsigned millrace_parser_upgrade(const http_parser *parser) { return parser->upgrade; }
static inline const char *millrace_parser_errno_name(const http_parser *parser) {
    return http_errno_name((enum http_errno)parser->http_errno);
}
static inline const char *millrace_parser_method_name(const http_parser *parser) {
    return http_method_str((enum http_method)parser->method);
}

#endif
