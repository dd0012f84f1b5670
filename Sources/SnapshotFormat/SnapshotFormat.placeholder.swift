// SnapshotFormat
