"""Rows: Job, CronJob."""

from knarr.kinds import registry
from knarr.kinds.lens.batch import CronJob, Job

JOB = registry.row("batch", "v1", "Job", Job)
CRONJOB = registry.row("batch", "v1", "CronJob", CronJob)
