// All that a page of another site can try with a server whose address it knows, through the browser of somebody who is signed in there.
// `attack` gives what it could read, by attempt; what it was told of a file that is there and of one that is not; and which changes it tried.
'use strict';

const DAV = {
  PROPPATCH: '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="e">y</x></D:prop></D:set></D:propertyupdate>',
  LOCK: '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>',
  PUT: 'foreign', POST: 'foreign', PATCH: 'foreign',
};
const METHODS = ['PUT', 'DELETE', 'MOVE', 'COPY', 'MKCOL', 'PROPPATCH', 'LOCK', 'UNLOCK', 'POST', 'PATCH', 'PROPFIND', 'REPORT'];
const FILES = ['kept.txt', 'code.js', 'module.mjs', 'data.json', 'style.css', 'picture.png', 'drawing.svg', 'page.html', 'captions.vtt', ''];
const PATIENCE = 4000;

const wait = (time) => new Promise((done) => setTimeout(done, time));
const within = (promise) => Promise.race([promise, wait(PATIENCE).then(() => 'nothing')]);

// An element, and which of its events comes.
function shown(tag, attributes, inside = document.body) {
  const element = document.createElement(tag);
  const event = new Promise((done) => {
    for (const kind of ['load', 'loadedmetadata', 'error']) element.addEventListener(kind, () => done(kind));
  });
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  inside.append(element);
  return { element, event: within(event) };
}

function fetches(target, report, tasks) {
  const read = (name, promise) => tasks.push(within(promise).then(
    (text) => { report.reads[name] = String(text); }, (error) => { report.reads[name] = `refused: ${error}`; }));
  for (const credentials of ['include', 'omit']) {
    for (const mode of ['cors', 'no-cors']) {
      for (const method of METHODS) {
        const id = `fetch-${method}-${credentials}-${mode}`;
        const headers = { Depth: '1', Destination: `${target}/victims/${id}.copy`, 'Lock-Token': '<urn:uuid:0>' };
        const init = { method, credentials, mode, body: DAV[method], headers: mode === 'cors' ? headers : {} };
        const path = method === 'MKCOL' ? `victims/${id}.folder/` : `victims/${id}.txt`;
        // What no-cors cannot send the browser itself refuses.
        if (credentials === 'include' && mode === 'cors' && !['PROPFIND', 'REPORT', 'PATCH'].includes(method)) report.changes.push(id);
        read(id, fetch(`${target}/${path}`, init).then((answer) => answer.text()));
      }
      for (const file of FILES) {
        read(`get-${file}-${credentials}-${mode}`, fetch(`${target}/${file}`, { credentials, mode }).then((answer) => answer.text()));
        read(`redirected-${file}-${credentials}-${mode}`,
          fetch(`/redirect?to=${encodeURIComponent(`${target}/${file}`)}`, { credentials, mode }).then((answer) => answer.text()));
      }
      read(`versions-${credentials}-${mode}`, fetch(`${target}/kept.txt?versions`, { credentials, mode }).then((answer) => answer.text()));
    }
  }
  for (const method of ['GET', 'PUT', 'DELETE', 'PROPFIND', 'POST']) {
    const id = `xhr-${method}`;
    if (['PUT', 'DELETE', 'POST'].includes(method)) report.changes.push(id);
    read(id, new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open(method, `${target}/${method === 'GET' ? 'kept.txt' : `victims/${id}.txt`}`);
      request.withCredentials = true;
      request.onload = () => done(request.responseText + request.getAllResponseHeaders());
      request.onerror = fail;
      request.send(method === 'PUT' ? 'foreign' : null);
    }));
  }
  read('redirected-put', fetch(`/redirect?to=${encodeURIComponent(`${target}/victims/redirected-put.txt`)}`,
    { method: 'PUT', body: 'foreign', credentials: 'include' }).then((answer) => answer.text()));
  read('import', import(`${target}/module.mjs`).then((module) => module.leaked));
  read('worker', new Promise((done, fail) => {
    const source = `try { importScripts('${target}/code.js'); postMessage(self.leaked) } catch (error) { postMessage('refused') }`;
    const worker = new Worker(URL.createObjectURL(new Blob([source])));
    worker.onmessage = (message) => done(message.data);
    worker.onerror = fail;
  }));
  read('event-source', new Promise((done, fail) => {
    const source = new EventSource(`${target}/kept.txt`, { withCredentials: true });
    source.onmessage = (message) => done(message.data);
    source.onerror = fail;
  }));
  read('web-socket', new Promise((done, fail) => {
    const socket = new WebSocket(`${target.replace('http', 'ws')}/kept.txt`);
    socket.onopen = () => done('open');
    socket.onmessage = (message) => done(message.data);
    socket.onerror = fail;
  }));
}

function forms(target, secrets, report, tasks) {
  const post = (id, action, enctype, into) => {
    report.changes.push(id);
    const form = document.createElement('form');
    Object.assign(form, { method: 'post', action, enctype, target: into ?? id });
    for (const [name, value] of Object.entries({ name: secrets.name, password: secrets.password, overwrite: 'T', '_method': 'DELETE' })) {
      form.append(Object.assign(document.createElement('input'), { name, value }));
    }
    const frame = into ? { event: wait(500) } : shown('iframe', { name: id });
    document.body.append(form);
    form.submit();
    tasks.push(frame.event);
  };
  for (const enctype of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
    const kind = enctype.split('/')[1].slice(0, 5);
    for (const word of ['sign-out', 'sign-in', 'upload']) {
      post(`form-${kind}-${word}`, `${target}/form-${kind}-${word}?${word}`, enctype);
    }
    post(`form-${kind}-restore`, `${target}/kept.txt?restore=${secrets.version}&form-${kind}-restore`, enctype);
    const to = encodeURIComponent(`${target}/form-${kind}-redirected?sign-out`);
    post(`form-${kind}-redirected`, `/redirect?to=${to}`, enctype);
    post(`form-${kind}-blank`, `${target}/form-${kind}-blank?sign-out`, enctype, '_blank');
  }
}

function quietly(target, report, tasks) {
  const bodies = { text: 'foreign', form: new FormData(), urlencoded: new URLSearchParams({ name: 'x' }), blob: new Blob(['{}'], { type: 'text/plain' }) };
  for (const [kind, body] of Object.entries(bodies)) {
    report.changes.push(`beacon-${kind}`, `simple-${kind}`);
    navigator.sendBeacon(`${target}/beacon-${kind}?sign-out`, body);
    tasks.push(within(fetch(`${target}/simple-${kind}?sign-out`, { method: 'POST', mode: 'no-cors', credentials: 'include', keepalive: true, body }).catch(() => 0)));
  }
  report.changes.push('ping', 'policy-report');
  const link = Object.assign(document.createElement('a'), { href: 'about:blank', target: 'pinged', ping: `${target}/ping?sign-out` });
  shown('iframe', { name: 'pinged' });
  document.body.append(link);
  link.click();
  shown('iframe', { src: `/reporting?to=${encodeURIComponent(`${target}/policy-report?sign-out`)}` });
}

function nobodysPages(target, report, tasks) {
  const page = (id) => `<form id=f method=post action="${target}/${id}-form?sign-out"></form><script>
    const say = (name, text) => parent.postMessage({ name: '${id}-' + name, text: String(text) }, '*');
    fetch('${target}/kept.txt', { credentials: 'include' }).then((a) => a.text()).then((text) => say('get', text), (e) => say('get', e));
    fetch('${target}/victims/${id}-put.txt', { method: 'PUT', body: 'foreign', credentials: 'include' }).catch(() => 0);
    fetch('${target}/${id}-post?sign-out', { method: 'POST', mode: 'no-cors', credentials: 'include' }).catch(() => 0);
    setTimeout(() => f.submit(), 500);
  </` + 'script>';
  addEventListener('message', ({ data }) => { if (data?.name) report.reads[data.name] = data.text; });
  for (const id of ['sandboxed', 'data-url']) report.changes.push(`${id}-form`, `${id}-put`, `${id}-post`);
  shown('iframe', { sandbox: 'allow-scripts allow-forms', srcdoc: page('sandboxed') });
  shown('iframe', { src: `data:text/html,${encodeURIComponent(page('data-url'))}` });
  tasks.push(wait(2000));
}

// What can be shown in a page, from a file that is there and from one that is not.
const KINDS = [
  ['img', 'src', 'picture.png', {}], ['img', 'src', 'drawing.svg', {}], ['img', 'src', 'picture.png', { crossorigin: 'use-credentials' }],
  ['input', 'src', 'picture.png', { type: 'image' }], ['script', 'src', 'code.js', {}], ['script', 'src', 'data.json', {}],
  ['script', 'src', 'module.mjs', { type: 'module', crossorigin: 'use-credentials' }], ['script', 'src', 'kept.txt', {}],
  ['link', 'href', 'style.css', { rel: 'stylesheet' }], ['link', 'href', 'page.html', { rel: 'prefetch' }],
  ['link', 'href', 'picture.png', { rel: 'preload', as: 'image' }], ['link', 'href', 'module.mjs', { rel: 'modulepreload' }],
  ['link', 'href', 'data.json', { rel: 'preload', as: 'fetch' }],
  ['iframe', 'src', 'page.html', {}], ['iframe', 'src', 'kept.txt', {}], ['iframe', 'src', '', {}],
  ['object', 'data', 'picture.png', {}], ['object', 'data', 'page.html', {}], ['object', 'data', 'kept.txt', { type: 'text/plain' }], ['object', 'data', '', { type: 'text/html' }],
  ['embed', 'src', 'picture.png', {}], ['embed', 'src', 'page.html', { type: 'text/html' }],
  ['video', 'src', 'clip.wav', {}], ['audio', 'src', 'clip.wav', {}],
];

function embedded(target, report, tasks) {
  addEventListener('error', (event) => { if (event.message && event.message !== 'Script error.') report.reads[`error-${event.message}`] = event.message; });
  for (const [tag, attribute, file, others] of KINDS) {
    const name = `${tag}-${file}-${Object.values(others).join('-')}`;
    const [there, missing] = [file, 'missing/' + file].map((path) => shown(tag, { ...others, [attribute]: `${target}/${path}` }));
    tasks.push(Promise.all([there.event, missing.event, wait(1500)]).then(([first, second]) => {
      const sizes = ({ element }) => `${element.naturalWidth ?? element.duration ?? ''} ${element.contentWindow?.length ?? ''}`;
      report.told[name] = [`${first} ${sizes(there)}`, `${second} ${sizes(missing)}`];
      if (there.element.naturalWidth) report.reads[name] = 'canary: the size of a picture';
      try { report.reads[`${name}-document`] = there.element.contentDocument.documentElement.textContent; } catch { }
      try { report.reads[`${name}-sheet`] = there.element.sheet.cssRules[0].cssText; } catch { }
    }));
  }
  const video = shown('video', { crossorigin: 'use-credentials' });
  const track = shown('track', { src: `${target}/captions.vtt`, default: '' }, video.element);
  tasks.push(track.event.then(() => { report.reads.captions = track.element.track.cues?.[0]?.text ?? ''; }));
  tasks.push(wait(1500).then(() => {
    report.reads.script = String(window.leaked);
    report.reads.style = getComputedStyle(document.body).getPropertyValue('--leaked');
  }));
}

async function windows(target, report) {
  for (const file of ['kept.txt', 'page.html', '', '?json']) {
    const opened = window.open(`${target}/${file}`);
    await wait(700);
    try { report.reads[`window-${file}`] = opened.document.documentElement.textContent; } catch (error) { report.reads[`window-${file}`] = 'refused'; }
    opened?.close();
  }
  const link = Object.assign(document.createElement('a'), { href: `${target}/kept.txt`, download: 'x', target: 'pinged' });
  document.body.append(link);
  link.click();
  const measured = performance.getEntriesByType('resource').filter((entry) => entry.name.startsWith(target));
  const size = measured.find((entry) => entry.decodedBodySize > 0);
  if (size) report.reads.performance = `canary: the size of ${size.name}`;
}

async function attack(target, secrets) {
  const report = { reads: {}, told: {}, changes: [] };
  const tasks = [];
  quietly(target, report, tasks);
  embedded(target, report, tasks);
  nobodysPages(target, report, tasks);
  fetches(target, report, tasks);
  await Promise.all(tasks);
  forms(target, secrets, report, tasks);
  await Promise.all(tasks);
  await windows(target, report);
  await wait(500);
  return report;
}
