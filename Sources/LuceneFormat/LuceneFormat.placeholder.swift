// LuceneFormat
