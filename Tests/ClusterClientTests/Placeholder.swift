import Testing

@Suite struct ClusterClientPlaceholder {}
