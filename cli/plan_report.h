/* cli/plan_report.h: what a run of generate will be, for people and for programs. */
#ifndef CLI_PLAN_REPORT_H
#define CLI_PLAN_REPORT_H

#include "filigree/video.h"
#include "output.h"

/* Lines, or with json one object of type `plan`. */
void cli_tell_plan(cli_out *out, int json, const fil_plan *plan);

#endif
