"use strict"; // for the whole program, of which this file comes first
// Shows one frame at a time, with boxes, curves and maps that all belong to it. Frames count from 0 here, and from
// `track.first` wherever somebody reads or writes a number. Only those in `track.pictures` can be shown.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const track = JSON.parse($("track").textContent);
const pictures = track.pictures;
const blocks = [...document.querySelectorAll("script.frame")];
const last = track.frames - 1;
const SVG = "http://www.w3.org/2000/svg";
const REGION = 255; // pixels of the two square canvases
const KEPT = 24; // decoded pictures
const FEW = 8; // targets that are named one by one beside the list of all

let place = -1; // of the frame on show, among the pictures
let wanted = 0; // the place that was asked for last
let chosen = 0; // the target whose search is shown
let image = null; // of the frame on show
let maps = null;
let playing = 0; // the timer, while it plays
const decoded = new Map(); // place -> promise of a picture and its maps

// Frames and pictures

function nearest(frame) {
  let low = 0;
  let high = pictures.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pictures[middle] <= frame) low = middle;
    else high = middle - 1;
  }
  if (low < pictures.length - 1 && pictures[low + 1] - frame < frame - pictures[low]) low++;
  return low;
}

function decode(at) {
  let coming = decoded.get(at);
  if (coming) decoded.delete(at);
  else {
    coming = (async () => {
      const block = JSON.parse(blocks[at].textContent);
      const picture = new Image();
      picture.src = `data:image/jpeg;base64,${block.picture}`;
      await picture.decode();
      return [picture, block.maps || null];
    })();
  }
  decoded.set(at, coming); // the latest ones come last
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  return coming;
}

async function show(at) {
  wanted = Math.min(Math.max(at, 0), pictures.length - 1);
  const mine = wanted;
  let found;
  try {
    found = await decode(mine);
  } catch {
    found = [null, null];
  }
  if (mine !== wanted) return; // another one has been asked for meanwhile
  [image, maps] = found;
  place = mine;
  draw();
  for (let ahead = 1; ahead <= 3 && mine + ahead < pictures.length; ahead++) decode(mine + ahead).catch(() => {});
}

const seek = (frame) => show(nearest(Math.min(Math.max(frame, 0), last)));
const current = () => pictures[place];
