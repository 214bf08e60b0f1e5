"use strict";
// Shows the people of one picture. The page holds them as JSON: metres, y up, the camera at the
// origin looks along -z. Matrices are column by column, as WebGL takes them.
const scene = JSON.parse(document.getElementById("scene").textContent);
const canvas = document.querySelector("canvas");
const gl = canvas.getContext("webgl2", { antialias: true });
const shown = { bodies: true, skeleton: false, photo: true };

const bytes = text => Uint8Array.from(atob(text), sign => sign.charCodeAt(0)).buffer;

function normals(vertices, faces) {
  // The sum of the area-weighted normals of the faces around each vertex.
  const sum = new Float32Array(vertices.length);
  for (let face = 0; face < faces.length; face += 3) {
    const [a, b, c] = [3 * faces[face], 3 * faces[face + 1], 3 * faces[face + 2]];
    const u = [0, 1, 2].map(axis => vertices[b + axis] - vertices[a + axis]);
    const v = [0, 1, 2].map(axis => vertices[c + axis] - vertices[a + axis]);
    for (let axis = 0; axis < 3; axis++) {
      const [j, k] = [(axis + 1) % 3, (axis + 2) % 3];
      for (const corner of [a, b, c]) sum[corner + axis] += u[j] * v[k] - u[k] * v[j];
    }
  }
  return sum;
}

// ---- Drawing

const HEAD = `#version 300 es
precision highp float;
uniform mat4 view, projection;
`;

const BODY = [`${HEAD}
in vec3 position, normal;
out vec3 place, side;
void main() {
  vec4 seen = view * vec4(position, 1);
  place = seen.xyz;
  side = mat3(view) * normal;
  gl_Position = projection * seen;
}`, `${HEAD}
in vec3 place, side;
uniform vec3 colour;
out vec4 painted;
void main() {
  vec3 normal = normalize(side);
  float key = max(dot(normal, normalize(vec3(-0.4, 0.6, 0.7))), 0.0);
  float fill = max(dot(normal, normalize(vec3(0.8, 0.1, 0.5))), 0.0);
  float rim = pow(1.0 - abs(dot(normal, normalize(place))), 3.0);
  painted = vec4(colour * (0.32 + 0.62 * key + 0.18 * fill + 0.10 * rim), 1);
}`];

const PHOTO = [`${HEAD}
in vec3 position;
in vec2 corner;
out vec2 at;
void main() {
  at = corner;
  gl_Position = projection * view * vec4(position, 1);
}`, `${HEAD}
in vec2 at;
uniform sampler2D photo;
out vec4 painted;
void main() { painted = texture(photo, at); }`];

// A bone is a strip with round ends, four centimetres wide, of people near by and far away less.
const BONE = [`${HEAD}
in vec3 start, end, colour;
uniform vec2 size;
uniform float widest;
out vec2 at;
out float span, width;
out vec3 tint;
void main() {
  vec4 a = projection * view * vec4(start, 1), b = projection * view * vec4(end, 1);
  float metre = 2.0 * projection[1][1] * size.y / (a.w + b.w);
  width = clamp(0.02 * metre, 0.3 * widest, widest);
  vec2 along = (b.xy / b.w - a.xy / a.w) * size;
  span = length(along);
  vec2 step = span > 0.0 ? along / span : vec2(1, 0);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  vec4 here = corner.x < 0.0 ? a : b;
  at = vec2(corner.x < 0.0 ? -width : span + width, corner.y * width);
  here.xy += (step * corner.x + vec2(-step.y, step.x) * corner.y) * width / size * here.w;
  tint = colour;
  gl_Position = here;
}`, `${HEAD}
in vec2 at;
in float span, width;
in vec3 tint;
uniform float widest;
out vec4 painted;
void main() {
  float far = length(at - vec2(clamp(at.x, 0.0, span), 0));
  if (far > width) discard;
  bool rim = far > 0.65 * width && width > 0.6 * widest;
  painted = vec4(rim ? vec3(0.1) : tint, 1);
}`];

function program([vertex, fragment]) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return made;
}

function geometry(made, attributes, faces) {
  // Attributes: name, numbers, how many a vertex, and 1 where an instance has them.
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  for (const [name, numbers, width, divisor] of attributes) {
    const place = gl.getAttribLocation(made, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(numbers), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, width, gl.FLOAT, false, 0, 0);
    gl.vertexAttribDivisor(place, divisor);
  }
  if (faces) {
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  }
  return array;
}

function use(made, camera, uniforms) {
  gl.useProgram(made);
  gl.uniformMatrix4fv(gl.getUniformLocation(made, "view"), false, camera.view);
  gl.uniformMatrix4fv(gl.getUniformLocation(made, "projection"), false, camera.projection);
  for (const [name, value] of Object.entries(uniforms))
    gl[`uniform${value.length}fv`](gl.getUniformLocation(made, name), value);
}

// ---- Looking

// The eye is at pivot + turn * offset: the photo's own camera is that of no turn.
const look = { yaw: 0, pitch: 0, offset: [0, 0, 0], pivot: [0, 0, 0] };

function aim(view) {
  const turns = { photo: [0, 0], side: [90, 0], back: [180, 0], above: [0, -89.9] };
  const [yaw, pitch] = turns[view].map(degrees => degrees * Math.PI / 180);
  const { slope, aspect } = lens();
  const far = 1.15 * scene.radius / Math.sin(Math.atan(slope * Math.min(1, aspect)));
  const offset = view === "photo" ? look.pivot.map(place => -place) : [0, 0, far];
  Object.assign(look, { yaw, pitch, offset });
}

function lens() {
  // The whole photo fits, whatever the window.
  const aspect = canvas.width / canvas.height;
  const slope = Math.max(scene.height, scene.width / aspect) / 2 / scene.focal;
  return { slope, aspect };
}

function camera() {
  const { yaw, pitch, offset, pivot } = look;
  const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const rows = [[c, 0, -s], [s * t, d, c * t], [s * d, -t, c * d]];
  const view = [0, 1, 2].flatMap(axis => [...rows.map(row => row[axis]), 0]);
  const shift = rows.map((row, i) => -row.reduce((sum, x, j) => sum + x * pivot[j], offset[i]));
  const { slope, aspect } = lens();
  const [near, far] = [0.05, 500];
  const projection = [1 / slope / aspect, 0, 0, 0, 0, 1 / slope, 0, 0,
    0, 0, (near + far) / (near - far), -1, 0, 0, 2 * near * far / (near - far), 0];
  return { view: [...view, ...shift, 1], projection };
}

function move(dx, dy) {
  // What is as far away as the pivot stays under the finger.
  const step = 2 * lens().slope * Math.hypot(...look.offset) / canvas.clientHeight;
  look.offset[0] -= dx * step;
  look.offset[1] += dy * step;
}

function turn(dx, dy) {
  look.yaw -= dx * 0.008;
  look.pitch = Math.max(-1.57, Math.min(1.57, look.pitch - dy * 0.008));
}

function zoom(factor) {
  const far = Math.hypot(...look.offset);
  const bounded = Math.max(0.3, Math.min(200, far * factor)) / far;
  look.offset = look.offset.map(part => part * bounded);
}

function listen() {
  const fingers = new Map();
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    const apart = fingers.size === 2 && spread();
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (apart) zoom(apart / Math.max(1, spread()));
    if (apart) move(dx / 2, dy / 2);
    else if (event.buttons & 2 || event.shiftKey) move(dx, dy);
    else turn(dx, dy);
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, event => fingers.delete(event.pointerId));
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) * 0.0012));
    redraw();
  }, { passive: false });
  for (const button of document.querySelectorAll("[data-view]"))
    button.addEventListener("click", () => { aim(button.dataset.view); redraw(); });
  for (const what of Object.keys(shown)) {
    const box = document.getElementById(what);
    box.checked = shown[what];
    box.addEventListener("change", () => { shown[what] = box.checked; redraw(); });
  }
  new ResizeObserver(redraw).observe(canvas);
}

// ---- The numbers beside

function element(kind, text, ...children) {
  const made = document.createElement(kind);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function describe() {
  document.title = scene.title;
  document.querySelector("h1").textContent = scene.title;
  document.getElementById("about").textContent = scene.about;
  for (const person of scene.people) {
    const box = Object.assign(element("input"), { type: "checkbox", checked: true });
    box.addEventListener("change", () => { person.hidden = !box.checked; redraw(); });
    const dot = element("i");
    dot.style.background = `rgb(${person.colour.map(part => Math.round(255 * part))})`;
    const rows = person.rows.map(([name, value]) =>
      element("tr", "", element("th", name), element("td", value)));
    const label = element("label", "", box, dot, person.name);
    document.querySelector("aside").append(
      element("section", "", label, element("table", "", ...rows)));
  }
}

// ---- All together

let draw = () => {};
let waiting = false;

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function prepare(photo) {
  const [body, backdrop, bone] = [BODY, PHOTO, BONE].map(program);
  const wide = scene.index === 4;
  const faces = new (wide ? Uint32Array : Uint16Array)(bytes(scene.faces));
  const people = scene.people.map(person => {
    const vertices = new Float32Array(bytes(person.vertices));
    const ends = which => scene.bones.flatMap(pair => person.joints[pair[which]]);
    const surface = [["position", vertices, 3, 0], ["normal", normals(vertices, faces), 3, 0]];
    const sticks = [["start", ends(0), 3, 1], ["end", ends(1), 3, 1],
      ["colour", scene.bone_colours.flat(), 3, 1]];
    return { person, surface: geometry(body, surface, faces), sticks: geometry(bone, sticks) };
  });
  const wall = geometry(backdrop, [["position", scene.wall.flat(), 3, 0],
    ["corner", [0, 0, 0, 1, 1, 0, 1, 1], 2, 0]]);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, photo);
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  gl.enable(gl.CULL_FACE);
  return { body, backdrop, bone, faces, wide, people, wall };
}

function paint(made) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  const seen = camera();
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0.957, 0.953, 0.945, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.enable(gl.DEPTH_TEST);
  if (shown.photo) {
    use(made.backdrop, seen, {});
    gl.bindVertexArray(made.wall);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
  const people = made.people.filter(one => !one.person.hidden);
  for (const one of shown.bodies ? people : []) {
    use(made.body, seen, { colour: one.person.colour });
    gl.bindVertexArray(one.surface);
    const kind = made.wide ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    gl.drawElements(gl.TRIANGLES, made.faces.length, kind, 0);
  }
  // Bones lie inside of bodies, and are drawn over them.
  gl.disable(gl.DEPTH_TEST);
  for (const one of shown.skeleton ? people : []) {
    use(made.bone, seen, { size: [canvas.width / 2, canvas.height / 2], widest: [4 * scale] });
    gl.bindVertexArray(one.sticks);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, scene.bones.length);
  }
}

function start() {
  describe();
  if (!gl) {
    document.getElementById("about").textContent = "This browser has no WebGL 2.";
    return;
  }
  const photo = new Image();
  photo.addEventListener("load", () => {
    const made = prepare(photo);
    draw = () => paint(made);
    look.pivot = scene.pivot;
    aim("photo");
    listen();
    redraw();
  });
  photo.src = scene.photo;
}

start();
