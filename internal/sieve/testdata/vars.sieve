require ["include","variables"];
global "x";
set "x" "from ${x}";
set "y" "private";
return;
stop;
