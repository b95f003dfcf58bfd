// Package cookbook answers one question a file, in code that compiles and whose output
// is checked. README.md lists the questions.
package cookbook
