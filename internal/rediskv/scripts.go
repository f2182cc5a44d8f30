package rediskv

import "github.com/redis/go-redis/v9"

// A tenant has five keys, in this order everywhere:
//
//	meta  hash: key -> "VERSION EXPIRES_US EXPIRES_NS SIZE"; 0 is never
//	vals  hash: key -> value
//	keys  sorted set of all keys, all of score 0, for their order
//	exp   sorted set of the keys that expire, by EXPIRES_US
//	use   hash: version (the last one given), bytes
//
// Lua's numbers hold microseconds of our time exactly, but not nanoseconds.
const prelude = `
local meta, vals, keys, exp, use = unpack(KEYS)
local key, now = ARGV[1], tonumber(ARGV[2])
local function entry(k)
  local m = redis.call('HGET', meta, k)
  if not m then return nil end
  local version, us, size = string.match(m, '^(%d+) (%d+) %d+ (%d+)$')
  return {version = version, us = tonumber(us), size = tonumber(size)}
end
local function over(e) return e.us > 0 and now >= e.us end
local function drop(k, e)
  redis.call('HDEL', meta, k)
  redis.call('HDEL', vals, k)
  redis.call('ZREM', keys, k)
  redis.call('ZREM', exp, k)
  redis.call('HINCRBY', use, 'bytes', -e.size)
end
local function sweep(limit)
  for _, k in ipairs(redis.call('ZRANGEBYSCORE', exp, '-inf', now, 'LIMIT', 0, limit)) do
    local e = entry(k)
    if e then drop(k, e) end
  end
end
local function live(k)
  local e = entry(k)
  if e and over(e) then
    drop(k, e)
    return nil
  end
  return e
end
`

// Answers of the scripts beside versions.
const (
	answerConflict = -1
	answerFull     = -2
	answerAbsent   = -3
)

type scripts struct{ put, del, list *redis.Script }

func newScripts() scripts {
	return scripts{
		put: redis.NewScript(prelude + `
local value, at, us, ns, max_bytes, max_keys, cost = unpack(ARGV, 3)
local old = live(key)
if (old and old.version or '0') ~= at then return -1 end
local size = #key + #value + tonumber(cost)
local function full()
  return (tonumber(redis.call('HGET', use, 'bytes')) or 0) + size - (old and old.size or 0) > tonumber(max_bytes)
    or not old and redis.call('ZCARD', keys) >= tonumber(max_keys)
end
sweep(16)
if full() then
  sweep(10000)
  if full() then return -2 end
end
if old then drop(key, old) end
local version = redis.call('HINCRBY', use, 'version', 1)
redis.call('HINCRBY', use, 'bytes', size)
redis.call('HSET', meta, key, string.format('%d %s %s %d', version, us, ns, size))
redis.call('HSET', vals, key, value)
redis.call('ZADD', keys, 0, key)
if us ~= '0' then redis.call('ZADD', exp, us, key) end
return version`),

		del: redis.NewScript(prelude + `
local old = live(key)
if not old then return -3 end
if old.version ~= ARGV[3] then return -1 end
drop(key, old)
return 0`),

		list: redis.NewScript(prelude + `
local from, to, limit = ARGV[3], ARGV[4], tonumber(ARGV[5])
local found = {}
sweep(1000)
while #found < limit do
  local page = redis.call('ZRANGEBYLEX', keys, from, to, 'LIMIT', 0, limit)
  for _, k in ipairs(page) do
    from = '(' .. k
    local e = entry(k)
    if e and not over(e) and #found < limit then found[#found + 1] = k end
  end
  if #page < limit then break end
end
return found`),
	}
}
