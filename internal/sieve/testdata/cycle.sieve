require "include";
include "cycle";
