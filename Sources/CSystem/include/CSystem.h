/// Linux calls and macros that Swift cannot import, and vector scans, as static inline functions.
/// Every function here is a thin wrapper: no state, no allocation.
#ifndef MILLRACE_CSYSTEM_H
#define MILLRACE_CSYSTEM_H

#include "csystem_io.h"
#include "csystem_memory.h"
#include "csystem_thread.h"
#include "csystem_terminal.h"
#include "csystem_scan.h"
#include "csystem_net.h"
#include "csystem_http.h"
#include "csystem_json.h"
#include "csystem_lucene.h"
#include "csystem_bulk.h"

#endif
