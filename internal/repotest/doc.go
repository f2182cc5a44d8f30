// Package repotest holds no code: its tests enforce the rules of CONTRIBUTING.md
// that no compiler and no linter knows, over every file of the repository.
package repotest
