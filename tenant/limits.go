package tenant

import "time"

// Limits bound what one tenant may use. The operator's configuration sets
// ceilings, a manifest may only lower them (Lower). A zero field sets no bound of
// its own.
type Limits struct {
	Memory            int64         // bytes of linear memory per instance
	CPU               time.Duration // time on a processor per request
	Wall              time.Duration // time per request, waiting included
	RequestBody       int64         // bytes
	ResponseBody      int64         // bytes
	Concurrency       int           // requests in flight
	RequestsPerSecond int           // 0: unlimited
	ModuleSize        int64         // bytes of one .wasm file
	SiteSize          int64         // bytes of all files of a release
	Subrequests       int           // outbound requests per request
}

// Lower returns l with each field that m sets lower taken from m.
func (l Limits) Lower(m Limits) Limits {
	return Limits{
		Memory:            lower(l.Memory, m.Memory),
		CPU:               lower(l.CPU, m.CPU),
		Wall:              lower(l.Wall, m.Wall),
		RequestBody:       lower(l.RequestBody, m.RequestBody),
		ResponseBody:      lower(l.ResponseBody, m.ResponseBody),
		Concurrency:       lower(l.Concurrency, m.Concurrency),
		RequestsPerSecond: lower(l.RequestsPerSecond, m.RequestsPerSecond),
		ModuleSize:        lower(l.ModuleSize, m.ModuleSize),
		SiteSize:          lower(l.SiteSize, m.SiteSize),
		Subrequests:       lower(l.Subrequests, m.Subrequests),
	}
}

func lower[T int | int64 | time.Duration](ceiling, wish T) T {
	if wish > 0 && (ceiling == 0 || wish < ceiling) {
		return wish
	}
	return ceiling
}
