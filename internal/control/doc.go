// SPDX-License-Identifier: Apache-2.0

// Package control decides, from what people have written down beforehand, whether a match may alert and whether it is
// learned. It is a library: it reads no file and no clock, and goes by the event's own time, so that a replay holds
// back what the live Beat does.
//
// An exception has conditions on the fields that the alert would have. They must all hold; of several exceptions each
// holds by itself. New makes a Set of them; Set.Decide asks it about one match.
package control
