// Package disktest has disks for the tests of what happens when they are full, slow, or
// lose power. They want root, and skip the test elsewhere.
package disktest
