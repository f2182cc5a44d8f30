// Makes a component of a JavaScript file: node build.mjs SOURCE OUT
import { componentize } from '@bytecodealliance/componentize-js';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';

const [source, out] = process.argv.slice(2);
// The engine is built for one exact version; its interfaces have not changed since.
const version = '0.2.10';
const wit = 'node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12';
for (const name of readdirSync(wit)) {
  mkdirSync(`wit/deps/${name}`, { recursive: true });
  writeFileSync(`wit/deps/${name}/package.wit`, readFileSync(`${wit}/${name}/package.wit`, 'utf8').replaceAll('@0.2.12', `@${version}`));
}
writeFileSync('wit/world.wit', `package terrane:test;\nworld guest { export wasi:http/incoming-handler@${version}; }\n`);
const { component } = await componentize({ sourcePath: source, witPath: 'wit', worldName: 'guest', enableFeatures: ['http', 'fetch-event'] });
writeFileSync(out, component);
