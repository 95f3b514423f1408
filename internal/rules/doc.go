// Package rules holds the test of what may import what. It has no code of its own: docs/ARCHITECTURE.md says why each rule is there,
// the table in the test is the rule. A build that fails here is mended by moving code, not by widening the table.
package rules
