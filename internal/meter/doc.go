// Package meter compiles a UsageMeter's CEL expressions, and reads with them
// what an object holds: object in, members out. It is pure: no clock, no I/O,
// and the same object always gives the same answer.
//
// Objects are written by tenants who may not want to be billed. So what a
// tenant chooses (a label, a name) never makes an object unreadable by its
// length or characters, an expression has a cost limit that counts operations
// and not time, and an object that cannot be read is an error of that object.
package meter
