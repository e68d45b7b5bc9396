"""The journal: lease, sweeps, stages, launches, events and audit on SQLite or Postgres."""
