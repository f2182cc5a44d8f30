import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft';
import { open } from 'wasi:keyvalue/store@0.2.0-draft';

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const url = new URL(request.url);
  if (url.pathname === '/visits') {
    return text(`${increment(open('default'), 'visits', 1n)}\n`); // in the tenant's state
  }
  const name = request.method === 'POST' ? await request.text() : url.searchParams.get('name') ?? 'world';
  return text(`Hello, ${name} from JavaScript!\n`);
}

function text(body) {
  return new Response(body, { headers: { 'Content-Type': 'text/plain; charset=utf-8' } });
}
