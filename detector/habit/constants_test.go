// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inTheCode are the model's constants as the manual writes them, by the name that they have in the code.
func inTheCode() map[string]string {
	values := map[string]string{
		"halfLife": number(days(halfLife)) + " days", "warmUp": number(warmUp) + " days",
		"settled": number(settled) + " days", "discoveredIn": number(discoveredIn) + " days",
		"aftermath": number(aftermath) + " nat", "alertedWeight": number(alertedWeight),
		"strength": number(strength), "discount": number(discount),
		"firstWeight": number(firstWeight) + " days", "alike": number(alike),
		"hourStrength": number(hourStrength) + " visits", "neighbour": number(neighbour), "most": number(most),
		"least": number(least), "kernelScale": number(kernelScale),
		"bound": number(bound) + " a year", "firstVisits": number(firstVisits),
		"binsPerNat": number(binsPerNat), "lowest": number(lowest),
		"surpriseBins": number(surpriseBins), "forgotten": number(forgotten),
		"mostGrown": number(mostGrown), "renewAt": number(renewAt),
		"maxValues": number(maxValues), "goneAfter": number(goneAfter) + " days",
		"mostDays": number(mostDays) + " days", "mostSeen": number(mostSeen) + " days",
		"matchedBefore": number(matchedBefore), "stayedBefore": number(stayedBefore),
		"cameDays":  number(cameDays) + " days",
		"strangers": number(strangers), "tentative": number(tentative), "alone": number(alone), "common": pairs(),
		"usualHours": hoursOfTheDay(),
		"variety":    number(variety), "WorthNaming": number(WorthNaming), "usualPauses": number(usualPauses),
		"firstPause":     number(firstPause.Hours()) + " hours",
		"longestSilence": fmt.Sprintf("%g days", days(longestSilence)), "late": fmt.Sprintf("%g hour", late.Hours()),
		"novelty": parts(novelty[:]), "strangersLike": hosts(strangersLike),
		"burst": number(burst), "acquainted": number(acquainted) + " sessions", "leastPrograms": number(leastPrograms),
		"discoveries": discoveryPrograms(),
	}
	for c := range classes {
		of := func(name string) string { return fmt.Sprintf("%s[%s]", name, []string{"Person", "Service", "Root"}[c]) }
		values[of("hostsLike")] = hosts(hostsLike[c])
		values[of("came")] = ways(c, came[c])
		values[of("undiscovered")] = ways(c, undiscovered[c])
		values[of("returns")] = number(returns[c])
		values[of("intruders")] = ways(c, intruders[c].came) + "; known " + number(intruders[c].known)
		values[of("weights")] = parts(weights[c][:])
	}
	return values
}

func hosts(p prior) string {
	return fmt.Sprintf("yearly %s, from %s, scale %s, days %s, share %s", number(p.yearly), number(p.from),
		number(p.scale), number(p.days), number(p.share))
}

// pairs are the values of features that have few: of newcomers / of intruders.
func pairs() string {
	var out []string
	for _, v := range []text{
		terminal, workday, weekend, local, inside, outside, ofPerson, ofSystem, plain, renamedTool, deleted, inMemory,
		byLoader, inTemporary, inHome, inHidden,
	} {
		out = append(out, fmt.Sprintf("%s %s/%s", v.Value(), share(common[v].usual), share(common[v].intruder)))
	}
	return strings.Join(out, ", ")
}

// discoveryPrograms are the programs that intruders look around with: of people / of intruders.
func discoveryPrograms() string {
	var out []string
	for _, d := range discoveries {
		out = append(out, fmt.Sprintf("%s %g/%g (%s)", d.program, d.usual, d.intruder, d.technique))
	}
	return "`" + strings.Join(out, ", ") + "`"
}

// share writes a probability, sevenths as such.
func share(p float64) string {
	if s := p * 7; math.Abs(s-math.Round(s)) < 1e-9 {
		return fmt.Sprintf("%g÷7", math.Round(s))
	}
	return fmt.Sprintf("%g", p)
}

func hoursOfTheDay() string {
	var out []string
	for _, p := range usualHours {
		out = append(out, fmt.Sprintf("%g", p))
	}
	return strings.Join(out, " ")
}

// number writes a rate as the fraction that it is in the code.
func number(v float64) string {
	written := fmt.Sprintf("%g", v)
	if inverse := 1 / v; len(written) > 5 && math.Abs(inverse-math.Round(inverse)) < 1e-9 {
		return fmt.Sprintf("1/%g", math.Round(inverse))
	}
	return written
}

func ways(c Class, by [arrivals][kinds]float64) string {
	if c == Person {
		return fmt.Sprintf("account %s; way %s", number(by[newAccount][other]), number(by[newWay][other]))
	}
	all := func(v [kinds]float64) string {
		return number(v[shell]) + ", " + number(v[interpreter]) + ", " + number(v[other]) + ", " + number(v[scheduled])
	}
	return "account " + all(by[newAccount]) + "; way " + all(by[newWay])
}

func parts(by []float64) string {
	var out []string
	for p, v := range by {
		if v != 0 {
			out = append(out, PartNames[p]+" "+number(v))
		}
	}
	return strings.Join(out, ", ")
}

// TestTheManualHasEveryConstant holds the table in docs/model.md and evidence.go together, both ways.
func TestTheManualHasEveryConstant(t *testing.T) {
	manual, err := os.ReadFile(filepath.Join("..", "..", "docs", "model.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(manual), "\n## Constants\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (.+?) \\| `(.+?)` \\| (.+?) \\| (.+?) \\|$").FindAllStringSubmatch(
		section, -1) {
		require.NotContains(t, documented, row[2], "twice")
		documented[row[2]] = row[3]
	}
	code := inTheCode()
	require.Equal(t, code, documented)

	// And every number that stands in evidence.go under a name is among them.
	file, err := parser.ParseFile(token.NewFileSet(), "evidence.go", nil, 0)
	require.NoError(t, err)
	for _, d := range file.Decls {
		group, is := d.(*ast.GenDecl)
		if !is {
			continue
		}
		for _, s := range group.Specs {
			spec, is := s.(*ast.ValueSpec)
			if !is || len(spec.Values) == 0 { // without a value it goes on with an iota
				continue
			}
			if id, is := spec.Values[0].(*ast.Ident); is && id.Name == "iota" {
				continue
			}
			for _, name := range spec.Names {
				_, whole := code[name.Name]
				_, byClass := code[name.Name+"[Person]"]
				require.True(t, whole || byClass || name.Name == "unknown", "%s is not in the manual", name.Name)
			}
		}
	}
}
