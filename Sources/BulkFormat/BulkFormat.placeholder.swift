// BulkFormat
