package wan

import (
	"slices"
	"time"
)

// RegionSource is where the figures of RegionMatrix come from.
const RegionSource = "IBM Cloud VPC documentation, network latency dashboard, inter-region averages of 16 August to 14 September 2025"

// regions are in the order of the rows and columns of regionMillis.
var regions = []Site{
	"dallas", "toronto", "washington", "frankfurt", "london", "madrid", "montreal", "osaka", "sydney", "tokyo", "sao-paulo",
}

// regionMillis has the average round trip in ms, measured from the row's region to the
// column's.
var regionMillis = [][]int{
	{0, 34, 31, 122, 112, 116, 42, 150, 185, 141, 142},
	{34, 0, 19, 93, 82, 107, 11, 170, 214, 164, 129},
	{31, 19, 0, 86, 75, 88, 16, 174, 215, 169, 116},
	{122, 92, 86, 0, 13, 29, 89, 234, 249, 226, 195},
	{113, 83, 76, 13, 0, 27, 79, 245, 261, 238, 185},
	{118, 104, 89, 29, 27, 0, 102, 261, 275, 253, 203},
	{42, 11, 16, 89, 79, 102, 0, 180, 226, 171, 125},
	{150, 170, 176, 234, 246, 261, 179, 0, 123, 9, 290},
	{184, 213, 213, 251, 261, 276, 222, 123, 0, 117, 324},
	{142, 165, 167, 229, 238, 254, 172, 9, 117, 0, 281},
	{142, 129, 117, 195, 185, 201, 126, 289, 325, 282, 0},
}

// Regions are the places that RegionMatrix knows.
func Regions() []Site { return slices.Clone(regions) }

// RegionMatrix has the measured round trips between eleven real regions on five
// continents (RegionSource), the two directions of a pair as they were measured.
func RegionMatrix() Matrix {
	m := Matrix{}
	for i, from := range regions {
		for j, to := range regions {
			if i != j {
				m[Direction{from, to}] = time.Duration(regionMillis[i][j]) * time.Millisecond
			}
		}
	}
	return m
}

// Named gives sites the places of a matrix: sites maps each site to its region. Pairs
// that the matrix does not know are left out.
func (m Matrix) Named(sites map[Site]Site) Matrix {
	out := Matrix{}
	for from, a := range sites {
		for to, b := range sites {
			if rtt := m.RoundTrip(a, b); from != to && rtt > 0 {
				out[Direction{from, to}] = rtt
			}
		}
	}
	return out
}
