/* Its table of metrics ends before `distances`. */

#define TABLE_SIZE offsetof(txray_metric_table, distances)

#include "plain.h"
