/* cli/plan_report.h: what a run of generate will be, for people and for programs. */
#ifndef CLI_PLAN_REPORT_H
#define CLI_PLAN_REPORT_H

#include "filigree/video.h"
#include "output.h"

/* So long, with the two digits that count: "40 seconds", "1.9 hours". Returns text. */
enum { CLI_ABOUT = 32 };
const char *cli_about(char text[CLI_ABOUT], double seconds);

/* Lines, or with json one object of type `plan`. */
void cli_tell_plan(cli_out *out, int json, const fil_plan *plan);

#endif
