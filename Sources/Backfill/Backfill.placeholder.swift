// Backfill
