/* base/status.c: version, and names and texts of the status codes (filigree.h). */
#include "filigree/filigree.h"

#include "base/cpu.h"

const char *fil_version(void)
{
    return fili_cpu_emulates(FILI_ISA_AMX) ? FIL_VERSION_STRING "+emulated" : FIL_VERSION_STRING;
}

const char *fil_status_name(fil_status status)
{
    switch ((int)status) {
#define STATUS_NAME(name, value, text)                                                             \
    case (value): return #name;
        FIL_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    default: return "E_UNKNOWN";
    }
}

const char *fil_status_text(fil_status status)
{
    switch ((int)status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case (value): return (text);
        FIL_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    default: return "unknown status";
    }
}
