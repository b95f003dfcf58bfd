package pgtest

// HideInstallations leaves only PATH to find a server in.
func HideInstallations() { installedIn = "/nowhere" }
