// Embeds the world into a core module and makes a component of it, with jco's copy of wasm-tools.
import { componentEmbed, componentNew } from '@bytecodealliance/jco-transpile/wasm-tools';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

const [core, out] = process.argv.slice(2);
const wit = 'node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12';
let source = readFileSync('world.wit', 'utf8');
for (const name of readdirSync(wit)) {
  source += readFileSync(`${wit}/${name}/package.wit`, 'utf8').replace(/^package ([^;]*);([^]*)$/m, 'package $1 {$2}\n');
}
const binary = await componentEmbed({ binary: new Uint8Array(readFileSync(core)), witSource: source, stringEncoding: 'utf8' });
writeFileSync(out, await componentNew(binary, []));
