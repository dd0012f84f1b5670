// ClusterClient
