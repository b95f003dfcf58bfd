// Package browser proves the audit page in a browser: what it takes to find something,
// with the keyboard alone, for a screen reader, on a phone and in the dark, and that no
// text of an event is more than a text. Its tests want chromium, java, and what
// package.json names, which .ci/browser installs into .cache/npm.
//
//	.ci/browser && cd examples/browser && go test .
//
// The picture in README.md is made by
//
//	go test -run Picture -picture page.png .
package browser
